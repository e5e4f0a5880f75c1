"""The API's description, as OpenAPI, made of what serves it: routes, formats, schemas, and what stands at a view."""
