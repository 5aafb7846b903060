"""Writes some 200 KB to wsgi.errors for each request that asks for it."""


def app(environ, start_response):
    if environ["PATH_INFO"] == "/loud":
        for number in range(200):
            environ["wsgi.errors"].write(f"{number:03} {'x' * 995}\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
