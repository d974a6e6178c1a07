"""REDIS_URL in the forms that people, providers and Celery write."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatflow_hook.redis_url import parse
from chatflow_hook.settings import BadSetting, RedisPlace, RedisSettings, read


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:p%2Fw@cache:6380/1", "redis://cache:6380"),
        ("rediss://user:pw@cache", "rediss://cache:6379"),
        ("rediss://cache?ssl_cert_reqs=CERT_NONE", "rediss://cache:6379"),
        ("redis://[::1]:7000?family=0", "redis://::1:7000"),
        ("unix:///run/redis.sock?password=pw", "unix:///run/redis.sock"),
    ],
)
def test_its_address_for_people_has_no_password(url: str, address: str) -> None:
    assert RedisPlace(arguments=parse(url)).address == address


@pytest.mark.parametrize("spelling", ["none", "None", "CERT_NONE"])
def test_celerys_spelling_of_ssl_cert_reqs_is_understood(spelling: str) -> None:
    assert parse(f"rediss://cache?ssl_cert_reqs={spelling}")["ssl_cert_reqs"] == "none"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://cache", "does not begin with redis://"),
        ("cache:6379", "does not begin with redis://"),
        ("redis://:pw@cache:port", "without one host and port"),
        ("redis://:pw@cache:70000", "without one host and port"),
        ("redis://:p/w@cache", "a / before its @"),
        ("redis://:p#w@cache", "bare #"),
        ("redis://cache?ssl=true", "an option that is none of db, username"),
        ("redis://cache?decode_responses=true", "an option that is none of db, username"),
        ("redis://cache?ssl_cert_reqs=none", "does not begin with rediss://"),
        ("rediss://cache?ssl_cert_reqs=maybe", "ssl_cert_reqs is none of none, optional"),
        ("rediss://cache?ssl_ca_certs=/not/there.pem", "a certificate that is not there"),
        ("rediss://cache?ssl_cert_reqs=none&ssl_check_hostname=true", "redis-py does not take"),
        ("redis://cache?protocol=9", "redis-py does not take"),
        ("redis://cache?socket_timeout=soon", "redis-py does not take"),
        ("unix://", "names no socket"),
    ],
)
def test_what_is_wrong_with_it_is_said_as_a_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", url)

    with pytest.raises(BadSetting) as caught:
        read(RedisSettings)

    assert str(caught.value).startswith("REDIS_URL: got an address ")
    assert why in str(caught.value)


def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    with pytest.raises(ValueError, match="no certificate or key in PEM form"):
        parse(f"rediss://cache?ssl_ca_certs={tmp_path}/ca.pem")


@given(st.text("a19:/?#@[]%&= ").map("geheim{}geheim".format))
@example("geheim/geheim")
@example("geheim?geheim=1&geheim")
@example("1/geheim")
def test_nothing_of_a_wrong_address_is_told(password: str) -> None:
    try:
        shown = repr(RedisPlace(arguments=parse(f"redis://:{password}@cache:port?ssl=geheim")))
    except ValueError as error:
        shown = str(error)

    assert "geheim" not in shown


def test_the_parts_take_any_host_and_password() -> None:
    settings = RedisSettings(_env_file=None, redis_host="::1", redis_password="p@/#%")

    assert settings.redis.address == "redis://::1:6379"
    assert settings.redis.arguments["password"] == "p@/#%"
