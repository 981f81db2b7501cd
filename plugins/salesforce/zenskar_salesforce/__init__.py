"""Salesforce integration for zenskar: https://www.salesforce.com."""

from zenskar_salesforce.integration import SalesforceIntegration

__all__ = ["SalesforceIntegration"]
