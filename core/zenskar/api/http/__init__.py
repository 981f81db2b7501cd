"""HTTP without resources: routes, bodies, queries, problems, authentication and limits."""
