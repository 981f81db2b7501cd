"""HTTP without resources: routes, bodies, queries, problems, authentication, limits."""
