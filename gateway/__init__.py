"""The gateway: HTTP and the OpenAI wire format in front of the queue. It holds no engine.

`gateway.server` runs `gateway.app`. Nothing is imported here: gevent has to patch the standard library before Flask
and Redis load.
"""
