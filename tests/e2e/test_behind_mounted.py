"""Behind nginx, HAProxy and Apache below a path, which they pass on or take away; and fields that only they
may set, with clients that want to be somebody else."""

import json

import pytest

from tests.e2e.wire import Wire


def site(*keys):
    """What to change in a shipped site file."""
    top = [key for key in keys if key.startswith("root")]
    return {"proxy:\n": "\n".join([*top, "proxy:", *(f"  {key}" for key in keys if key not in top), ""])}


ROOT, PREFIX, FIELDS = "root: /sub", "prefix: on", "fields: [OIDC_CLAIM_*, REMOTE_USER]"

LOCATION = "location / {\n        proxy_pass http://shop;"
NO_PREFIX = 'proxy_set_header X-Forwarded-Prefix "";'
NGINX_PASSES = {LOCATION: "location /sub/ {\n        proxy_pass http://shop;"}
NGINX_TAKES = {LOCATION: "location /sub/ {\n        proxy_pass http://shop/;"}
NGINX_SAYS = {NO_PREFIX: "proxy_set_header X-Forwarded-Prefix /sub;"}
NGINX_USER = {
    NO_PREFIX: f"{NO_PREFIX} proxy_set_header OIDC_CLAIM_email joe; proxy_set_header REMOTE_USER joe;"
}

LAST = "    http-request del-header x-script-name\n"
HAPROXY_TAKES = {
    LAST: f"{LAST}    http-request set-header X-Forwarded-Prefix /sub if {{ path_beg /sub/ }}\n"
    "    http-request replace-path /sub(/.*) \\1 if { path_beg /sub/ }\n"
}
HAPROXY_USER = {
    LAST: f"{LAST}    http-request del-header OIDC_CLAIM_ -m beg\n"
    "    http-request set-header OIDC_CLAIM_email joe\n    http-request set-header REMOTE_USER joe\n"
}
APACHE_USER = "RequestHeader set OIDC_CLAIM_email joe\nRequestHeader set REMOTE_USER joe"

LIES = ["X-Forwarded-Prefix: /evil", "X-Script-Name: /evil", "SCRIPT_NAME: /evil"]
EVIL = ["OIDC_CLAIM_email: evil", "oidc_claim_EMAIL: evil", "REMOTE_USER: evil", "Remote_User: evil"]
SMUGGLED = ["OIDC-CLAIM-email: evil", "OIDC_CLAIM-email: evil", "Remote-User: evil", "oidc-claim-EMAIL:evil"]


def echo(behind, path, *fields):
    """What the application on /echo says, or the status of something else."""
    with Wire(behind.front.connect()) as wire:
        answer = wire.ask(path, fields=fields)
    return json.loads(answer.body) if answer.status == 200 else answer.status


def place(behind, path, *fields):
    said = echo(behind, path, *fields)
    return said if isinstance(said, int) else (said["SCRIPT_NAME"], said["PATH_INFO"], said["REQUEST_URI"])


@pytest.fixture
def below(behind):
    behind.page = "/sub/"
    return behind


class TestNginx:
    def test_it_passes_on_the_path(self, below):
        below.nginx(site(ROOT), NGINX_PASSES)
        assert place(below, "/sub/echo/x", *LIES) == ("/sub/echo", "/x", "/sub/echo/x")
        assert place(below, "/%73ub/echo/x") == ("/sub/echo", "/x", "/%73ub/echo/x")
        for other in ("//sub/echo", "/x/../sub/echo", "/./sub/echo", "/sub%2Fecho"):  # all of them are for it
            assert place(below, other) == 400

    @pytest.mark.drill
    @pytest.mark.parametrize("keys", [(PREFIX,), (ROOT, PREFIX)])
    def test_it_takes_the_path_away_and_says_so(self, below, keys):
        below.nginx(site(*keys), {**NGINX_TAKES, **NGINX_SAYS})
        assert place(below, "/sub/echo/x", *LIES) == ("/sub/echo", "/x", "/echo/x")

    @pytest.mark.drill
    def test_it_takes_the_path_away_and_says_nothing(self, below):
        below.status = 404
        below.nginx(site(ROOT), NGINX_TAKES)
        below.daemon.wait_log("request refused .*status=404 .*root is /sub: have the proxy in front pass on")

    @pytest.mark.drill
    def test_its_user_is_its_word_alone(self, behind):
        behind.nginx(site(FIELDS), NGINX_USER)
        for fields in ([], *([lie] for lie in EVIL)):
            said = echo(behind, "/echo", *fields)
            assert (said["HTTP_OIDC_CLAIM_EMAIL"], said["HTTP_REMOTE_USER"]) == ("joe", "joe")
        for smuggled in SMUGGLED[:1] + SMUGGLED[2:]:  # it drops names with _ itself
            assert echo(behind, "/echo", smuggled) == 400
        behind.daemon.wait_log("request refused .*a field of proxy.fields .*it is spelled ")


class TestHAProxy:
    @pytest.mark.drill
    def test_it_passes_on_the_path_and_its_checks_need_none(self, below):
        below.haproxy(site(ROOT))
        assert place(below, "/sub/echo/x", *LIES) == ("/sub/echo", "/x", "/sub/echo/x")
        assert place(below, "/subway/echo") == 404

    @pytest.mark.drill
    def test_it_takes_the_path_away_and_says_so(self, below):
        below.haproxy(site(ROOT, PREFIX), HAPROXY_TAKES)
        assert place(below, "/sub/echo/x", *LIES) == ("/sub/echo", "/x", "/echo/x")
        for other in ("/echo/x", "//sub/echo", "/x/../sub/echo", "/sub%2Fecho", "/%73ub/../echo"):
            assert place(below, other) in (400, 404)

    def test_its_user_is_its_word_alone(self, behind):
        behind.haproxy(site(FIELDS), HAPROXY_USER)
        for fields in ([], EVIL):
            said = echo(behind, "/echo", *fields, "OIDC_CLAIM_groups: admin")
            assert (said["HTTP_OIDC_CLAIM_EMAIL"], said["HTTP_REMOTE_USER"]) == ("joe", "joe")
            assert "evil" not in said.values()
            assert "admin" not in said.values()
        for smuggled in SMUGGLED:
            assert echo(behind, "/echo", smuggled) == 400


@pytest.mark.drill
class TestApache:
    def test_its_user_is_its_word_alone(self, below):
        below.apache(APACHE_USER, site(ROOT, FIELDS))
        for fields in ([], EVIL):
            said = echo(below, "/sub/echo/x", *fields)
            assert (said["HTTP_OIDC_CLAIM_EMAIL"], said["HTTP_REMOTE_USER"]) == ("joe", "joe")
            assert (said["SCRIPT_NAME"], said["PATH_INFO"]) == ("/sub/echo", "/x")
            assert "evil" not in said.values()
        for smuggled in SMUGGLED:
            assert echo(below, "/sub/echo/x", smuggled) == 400
