"""`inferq batch`: files of requests that are answered, at a gateway or without one."""
