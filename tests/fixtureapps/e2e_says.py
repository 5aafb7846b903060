"""Writes its body to wsgi.errors, and fails where the path does."""


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise ValueError("secret of the application")
    if environ["PATH_INFO"] == "/said":
        environ["wsgi.errors"].write(environ["wsgi.input"].read().decode())
    found = environ["PATH_INFO"] in ("/", "/said")
    start_response("200 OK" if found else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"hello"]
