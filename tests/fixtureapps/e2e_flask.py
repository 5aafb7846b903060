"""A Flask application as tutorials write it, from a factory."""

import io

from flask import (
    Flask,
    Response,
    abort,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    url_for,
)


def make():
    app = Flask(__name__)
    app.secret_key = "for tests"

    @app.get("/")
    def index():
        return {"self": url_for("index"), "page": url_for("page", name="a b", _external=True)}

    @app.get("/page/<name>")
    def page(name):
        return render_template_string("<h1>{{ name }}</h1>", name=name)

    @app.get("/client")
    def client():
        return {
            "address": request.remote_addr,
            "secure": request.is_secure,
            "page": url_for("page", name="new", _external=True),
            "server": request.environ["SERVER_NAME"],
            "port": request.environ["SERVER_PORT"],
            "forwarded": sorted(key for key in request.environ if "FORWARDED" in key),
        }

    @app.get("/fields")
    def fields():
        return {key: value for key, value in request.environ.items() if key.startswith("HTTP_")}

    @app.post("/upload")
    def upload():
        file = request.files["file"]
        return {"title": request.form["title"], "name": file.filename, "size": len(file.read())}

    @app.get("/count")
    def count():
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])

    @app.get("/stream")
    def stream():
        return Response((f"piece {i}\n" for i in range(3)), mimetype="text/plain")

    @app.get("/file")
    def file():
        return send_file(__file__, mimetype="text/plain")

    @app.get("/memory")
    def memory():
        return send_file(io.BytesIO(b"in memory"), mimetype="text/plain")

    @app.get("/moved")
    def moved():
        return redirect(url_for("page", name="new", _external=True))

    @app.get("/fails")
    def fails():
        raise ValueError("secret of the view")

    @app.get("/forbidden")
    def forbidden():
        abort(403)

    return app
