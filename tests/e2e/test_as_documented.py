"""Applications of the package index, started as their own documentation starts them with Gunicorn, mod_wsgi
or `pserve`, with `superwsgi run` in its place.
"""

from dataclasses import dataclass, field

import pytest

from tests.tools import needed_package

pytestmark = pytest.mark.drill

PATIENCE = 55.0


@dataclass
class Way:
    """`target` is what they say behind `gunicorn`; `{folder}` is the site's."""

    package: str
    target: str
    says: str
    path: str = "/"
    files: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)


URLMAP = """
    [composite:main]
    use = egg:Paste#urlmap
    /unstable/ = unstable
    / = stable

    [app:stable]
    use = egg:pypiserver#main
    root = %(here)s/stable

    [app:unstable]
    use = egg:pypiserver#main
    root = %(here)s/unstable

    [server:main]
    use = egg:gunicorn#main
    port = 9000
"""
PYRAMID = """
    [app:main]
    paste.app_factory = cc_starter:main
    pyramid.default_locale_name = en

    [server:main]
    use = egg:waitress#main
    listen = *:6543

    [loggers]
    keys = root, cc_starter

    [handlers]
    keys = console

    [formatters]
    keys = generic

    [logger_root]
    level = WARN
    handlers = console

    [logger_cc_starter]
    level = WARN
    handlers =
    qualname = cc_starter

    [handler_console]
    class = StreamHandler
    args = (sys.stderr,)
    level = NOTSET
    formatter = generic

    [formatter_generic]
    format = %(asctime)s %(levelname)-5.5s [%(name)s:%(lineno)s][%(threadName)s] %(message)s
"""
CC_STARTER = """
    from pyramid.config import Configurator
    from pyramid.response import Response

    def main(global_config, **settings):
        with Configurator(settings=settings) as config:
            config.add_route("home", "/")
            config.add_view(lambda request: Response("Pyramid " + global_config["here"]), route_name="home")
        return config.make_wsgi_app()
"""
TRAC = """
    import os
    from trac.env import Environment

    os.environ["TRAC_ENV"] = os.path.join(os.path.dirname(__file__), "trac")
    if not os.path.exists(os.environ["TRAC_ENV"]):
        Environment(os.environ["TRAC_ENV"], create=True)

    import trac.web.main
    application = trac.web.main.dispatch_request
"""
BOTTLE = """
    from bottle import default_app, route

    @route("/")
    def index():
        return "Bottle"

    application = default_app()
"""
FALCON = """
    import falcon

    class Images:
        def on_get(self, request, response):
            response.text = "Falcon"

    def create_app(name="Falcon"):
        app = falcon.App()
        app.add_route("/", Images())
        return app

    def get_app():
        return create_app()
"""
CHERRYPY = """
    import cherrypy

    class Root:
        @cherrypy.expose
        def index(self):
            return "CherryPy"

    cherrypy.config.update({"environment": "embedded"})
    cherrypy.tree.mount(Root())
"""
WSGIDAV = """
    import os
    from wsgidav.wsgidav_app import WsgiDAVApp

    root = os.path.dirname(os.path.abspath(__file__))
    simple = {"user_mapping": {"*": True}}
    app = WsgiDAVApp({"provider_mapping": {"/": root}, "simple_dc": simple, "verbose": 1})
"""
FLASKR = """
    from flask import Flask

    def create_app(test_config=None):
        app = Flask(__name__, instance_relative_config=True)
        app.add_url_rule("/hello", view_func=lambda: "Hello, World!")
        return app
"""
DJANGO = {
    "mysite/__init__.py": "",
    "mysite/settings.py": """
        SECRET_KEY = "x"
        ROOT_URLCONF = "mysite.urls"
        ALLOWED_HOSTS = ["*"]
        WSGI_APPLICATION = "mysite.wsgi.application"
    """,
    "mysite/urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        urlpatterns = [path("", lambda request: HttpResponse("Django"))]
    """,
    "mysite/wsgi.py": """
        import os
        from django.core.wsgi import get_wsgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
        application = get_wsgi_application()
    """,
}
MAPPROXY = """
    from mapproxy.wsgiapp import make_wsgi_app

    application = make_wsgi_app("mapproxy.yaml")
"""
MAPS = """
    services:
      demo:
      tms:
"""
BEPASTY = """
    import os

    SECRET_KEY = "x"
    STORAGE = "filesystem"
    STORAGE_FILESYSTEM_DIRECTORY = os.path.dirname(__file__)
    DEFAULT_PERMISSIONS = "read,list"
"""
WEBPY = """
    import web

    class hello:
        def GET(self):
            return "web.py"

    app = web.application(("/", "hello"), globals())
    application = app.wsgifunc()
"""
KINTO = """
    [app:main]
    use = egg:kinto
    kinto.storage_backend = kinto.core.storage.memory
    kinto.cache_backend = kinto.core.cache.memory
    kinto.permission_backend = kinto.core.permission.memory
    kinto.userid_hmac_secret = x
"""
PECAN = {
    "config.py": """
        app = {"root": "project.root.RootController", "modules": ["project"]}
    """,
    "project/__init__.py": "",
    "project/app.py": """
        from pecan import make_app

        def setup_app(config):
            app = dict(config.app)
            return make_app(app.pop("root"), **app)
    """,
    "project/root.py": """
        from pecan import expose

        class RootController:
            @expose()
            def index(self):
                return "Pecan"
    """,
    "app.wsgi": """
        from pecan.deploy import deploy
        application = deploy("config.py")
    """,
}
ZOPE = {
    "etc/zope.ini": """
        [app:zope]
        use = egg:Zope#main
        zope_conf = %(here)s/zope.conf

        [server:main]
        use = egg:waitress#main

        [filter:translogger]
        use = egg:Paste#translogger
        setup_console_handler = False

        [pipeline:main]
        pipeline =
            egg:Zope#httpexceptions
            translogger
            zope
    """,
    "etc/zope.conf": """
        %import ZODB
        instancehome .
        <zodb_db main>
            <filestorage>
                path Data.fs
            </filestorage>
            mount-point /
        </zodb_db>
    """,
    "etc/site.zcml": """
        <configure xmlns="http://namespaces.zope.org/zope" xmlns:five="http://namespaces.zope.org/five">
            <include package="Zope2.App" />
            <five:loadProducts file="meta.zcml" />
            <five:loadProducts />
        </configure>
    """,
}
WAYS = {
    "pypiserver": Way("pypiserver", 'pypiserver:app(root="{folder}/packages")', "pypiserver"),
    "pypiserver, several roots": Way(
        "pypiserver", 'pypiserver:app(roots=["{folder}/packages", "{folder}/more"])', "pypiserver"
    ),
    "Paste's URL map": Way("pypiserver", "paste.ini", "pypiserver", "/unstable/", {"paste.ini": URLMAP}),
    "Radicale": Way(
        "radicale",
        "radicale",
        "Radicale",
        "/.web/",
        {"config": "[storage]\nfilesystem_folder = collections\n"},
        {"RADICALE_CONFIG": "{folder}/config"},
    ),
    "isso": Way(
        "isso",
        "isso.run",
        "Isso",
        "/js/embed.min.js",
        {"isso.cfg": "[general]\ndbpath = comments.db\nhost = http://localhost/\n"},
        {"ISSO_SETTINGS": "{folder}/isso.cfg"},
    ),
    "Pyramid": Way(
        "pyramid",
        "production.ini",
        "Pyramid {folder}",
        files={"production.ini": PYRAMID, "cc_starter/__init__.py": CC_STARTER},
    ),
    "Trac": Way("trac", "deploy/trac.wsgi", "Trac", files={"deploy/trac.wsgi": TRAC}),
    "bottle": Way("bottle", "site_of_bottle", "Bottle", files={"site_of_bottle.py": BOTTLE}),
    "Falcon": Way("falcon", "look.app", "Falcon", files={"look/__init__.py": "", "look/app.py": FALCON}),
    "Falcon, its factory": Way("falcon", "look.app:get_app()", "Falcon", files={"look/app.py": FALCON}),
    "CherryPy": Way("cherrypy", "tutorial:cherrypy.tree", "CherryPy", files={"tutorial.py": CHERRYPY}),
    "WsgiDAV": Way("wsgidav", "server_sample.py", "server_sample", files={"server_sample.py": WSGIDAV}),
    "Flask": Way("flask", "flaskr:create_app()", "Hello", "/hello", {"flaskr/__init__.py": FLASKR}),
    "src": Way("flask", "src/flaskr:create_app()", "Hello", "/hello", {"src/flaskr/__init__.py": FLASKR}),
    "klaus": Way("klaus", "klaus.contrib.wsgi", "repositories", environ={"KLAUS_REPOS": ""}),
    "bepasty": Way(
        "bepasty",
        "bepasty.wsgi",
        "bepasty",
        files={"bepasty.conf": BEPASTY},
        environ={"BEPASTY_CONFIG": "{folder}/bepasty.conf"},
    ),
    "MapProxy": Way(
        "mapproxy",
        "config:application",
        "MapProxy",
        files={"config.py": MAPPROXY, "mapproxy.yaml": MAPS},
    ),
    "web.py": Way("web", "code.py", "web.py", files={"code.py": WEBPY}),
    "Kinto": Way("kinto", "kinto.ini", "kinto", "/v1/", {"kinto.ini": KINTO}),
    "Pecan": Way("pecan", "app.wsgi", "Pecan", files=PECAN),
    "Zope": Way("Zope2", "etc/zope.ini", "Zope", files=ZOPE),
    "Prometheus": Way("prometheus_client", "prometheus_client:make_wsgi_app()", "python_info"),
    "Django": Way("django", "mysite.wsgi", "Django", files=DJANGO),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_its_own_way(daemon, way):
    it = WAYS[way]
    needed_package(it.package)
    for name in ("packages", "more", "stable", "unstable"):
        (daemon.folder / name).mkdir()
    for name, text in it.files.items():
        daemon.write(name, text)
    filled = {name: text.format(folder=daemon.folder) for name, text in it.environ.items()}
    target = it.target.format(folder=daemon.folder)
    daemon.start("run", "-w", "1", "-b", "127.0.0.1:0", target, env={**filled, "FLASK_APP": ""}, ready=False)
    daemon.wait_log(" serving ", deadline=PATIENCE)
    answer = daemon.get(it.path)
    assert answer.status == 200, (answer.text, daemon.log)
    assert it.says.format(folder=daemon.folder) in answer.text
