"""The issuer's keys: which count, when they are asked for again, and what an outage does: nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from forge import EC, ED, RSA, public_set
from joserfc import jwk

from gateway.auth import jwks, strict
from gateway.auth.issuer import RETRY_SECONDS, URL_MAX_AGE_SECONDS, FileSource, Keys, UrlSource, source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NEW = jwk.ECKey.generate_key("P-256", {"kid": "ec-2"})


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Idp:
    """An issuer on loopback; counts how often it is asked."""

    def __init__(self) -> None:
        self.data = public_set(RSA)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.gate.wait()
        return web.Response(body=self.data, status=self.status, headers=self.headers)

    def redirect(self) -> None:
        self.status = 302
        self.headers["Location"] = "/elsewhere"

    async def elsewhere(self, _: web.Request) -> web.Response:
        return web.Response(body=public_set(NEW))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/jwks", self.answer)
        app.router.add_get("/elsewhere", self.elsewhere)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
        self.gate.set()
        await runner.cleanup()


@asynccontextmanager
async def kept(idp: Idp) -> AsyncIterator[tuple[Keys, Time, list[bool]]]:
    time, fresh = Time(), list[bool]()
    async with idp.serving() as url:
        keys = Keys(UrlSource(url), now=time, fresh=fresh.append)
        async with keys.kept():
            yield keys, time, fresh


async def test_an_unknown_key_is_asked_for_once_in_thirty_seconds() -> None:
    """A flood of made-up names costs the issuer one question; a new key is found when its turn comes."""
    idp = Idp()
    async with kept(idp) as (keys, time, _):
        assert idp.asked == 1
        for number in range(100):
            assert await keys.key(f"made-up-{number}", "RS256") is None
        assert idp.asked == 1
        idp.data = public_set(RSA, NEW)
        time.now += RETRY_SECONDS - 0.001
        assert await keys.key("ec-2", "ES256") is None
        time.now += 0.001
        found = await asyncio.gather(*(keys.key("ec-2", "ES256") for _ in range(50)))
        assert None not in found
        assert idp.asked == 2


@pytest.mark.parametrize(
    "break_",
    [
        lambda idp: setattr(idp, "status", 503),
        lambda idp: setattr(idp, "data", b"<html>"),
        lambda idp: setattr(idp, "data", b'{"keys":[]}'),
        lambda idp: setattr(idp, "data", b" " * (jwks.MAX_BYTES + 1)),
        lambda idp: idp.redirect(),
    ],
    ids=["down", "html", "empty", "huge", "redirect"],
)
async def test_the_last_good_keys_outlive_an_outage(break_: Any) -> None:  # noqa: ANN401 -- any of several breakages
    """Whatever the issuer answers, who could be checked before can be; the alarm is on until it is well."""
    idp = Idp()
    async with kept(idp) as (keys, time, fresh):
        break_(idp)
        for _ in range(3):
            time.now += URL_MAX_AGE_SECONDS
            assert await keys.key("rsa-1", "RS256") is not None
            assert await keys.key("ec-2", "ES256") is None
        assert fresh[0] is True
        assert fresh[-1] is False
        idp.status, idp.data = 200, public_set(EC)
        time.now += RETRY_SECONDS
        assert await keys.key("ec-1", "ES256") is not None
        assert await keys.key("rsa-1", "RS256") is None
        assert fresh[-1] is True


async def test_nobody_waits_for_keys_that_are_merely_old() -> None:
    """They are asked for behind the caller's back, and taken when they come."""
    idp = Idp()
    async with kept(idp) as (keys, time, _):
        idp.gate.clear()
        time.now += URL_MAX_AGE_SECONDS
        assert await keys.key("rsa-1", "RS256") is not None
        assert await keys.key("rsa-1", "RS256") is not None
        idp.data = public_set(EC)
        idp.gate.set()
        async with asyncio.timeout(30):
            while await keys.key("rsa-1", "RS256") is not None:  # noqa: ASYNC110 -- what is waited for is the answer
                await asyncio.sleep(0.001)
        assert idp.asked == 2


async def test_a_file_is_read_again(tmp_path: Path) -> None:
    """A new set counts when the old one is two seconds old; one that is broken or gone changes nothing."""
    file, time = tmp_path / "jwks.json", Time()
    file.write_bytes(public_set(RSA))
    async with Keys(source(str(file)), now=time, fresh=lambda _: None).kept() as nothing:
        assert nothing is None
    keys = Keys(FileSource(file), now=time, fresh=lambda _: None)
    async with keys.kept():
        file.write_bytes(public_set(EC))
        time.now += 2
        assert await keys.key("ec-1", "ES256") is not None
        file.unlink()
        time.now += 2
        assert await keys.key("rsa-1", "RS256") is None
        assert await keys.key("ec-1", "ES256") is not None


async def test_the_start_does_not_need_the_issuer() -> None:
    """An application without persons can mute while nobody vouches; with nothing known nobody is."""
    keys = Keys(UrlSource("http://127.0.0.1:1/jwks"), now=Time(), fresh=lambda _: None)
    async with keys.kept():
        assert await keys.key("rsa-1", "RS256") is None


def said(key: jwk.Key = RSA, **members: object) -> dict[str, object]:
    found = {**key.as_dict(private=False), **members}
    return {name: value for name, value in found.items() if value is not ...}


UNUSABLE: dict[str, Any] = {
    "secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"},
    "encryption": said(use="enc"),
    "signing-only": said(key_ops=["sign"]),
    "operations-text": said(key_ops="verify"),
    "other-algorithm": said(alg="RS512"),
    "hmac-algorithm": said(alg="HS256"),
    "small": said(n="4" + "A" * 170),
    "exponent": said(e="AQ"),
    "curve": said(jwk.ECKey.generate_key("P-384", auto_kid=True)),
    "curve-number": said(EC, crv=256),
    "off-the-curve": said(EC, x=EC.as_dict()["y"]),
    "x25519": said(jwk.OKPKey.generate_key("X25519", auto_kid=True)),
    "no-modulus": said(n=...),
    "modulus-number": said(n=7),
    "kind-list": said(kty=["RSA"]),
    "kid-number": said(kid=7),
    "kid-empty": said(kid=""),
    "no-object": "key",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_passed_over(name: str) -> None:
    """It is no key, and does not spoil the others."""
    alone = json.dumps({"keys": [UNUSABLE[name]]}).encode()
    with pytest.raises(ValueError, match="has no key"):
        jwks.parse(alone)
    beside = json.dumps({"keys": [UNUSABLE[name], said(ED)]}).encode()
    assert len(jwks.parse(beside)) == 1


def test_a_name_means_one_key() -> None:
    """Two of one name are none; no name at all means the only one there is."""
    twice = jwks.parse(json.dumps({"keys": [said(RSA), said(EC, kid="rsa-1"), said(ED)]}).encode())
    assert twice.find("rsa-1", "RS256") is None
    assert twice.find("ed-1", "EdDSA") is not None
    assert twice.find(None, "EdDSA") is None
    assert twice.find("ed-1", "RS256") is None
    alone = jwks.parse(json.dumps({"keys": [said(ED, kid=...)]}).encode())
    assert alone.find(None, "EdDSA") is not None
    assert alone.find("ed-1", "EdDSA") is None
    assert alone.find(None, "ES256") is None


@pytest.mark.parametrize("text", ["QR", "Q", "QQ==", "Q Q", "é", "QQ\n"])
def test_bytes_have_one_spelling(text: str) -> None:
    """Two texts that mean the same signature would be two tokens."""
    assert strict.decoded("QQ") == b"A"
    with pytest.raises(ValueError, match=r"base64url|canonical"):
        strict.decoded(text)


@pytest.mark.parametrize(
    "data",
    [
        b'{"keys":' + b"[" * 100_000,
        json.dumps({"keys": [{}] * 129}).encode(),
        b" " * (jwks.MAX_BYTES + 1),
        b"[]",
        b'{"keys":{}}',
        b"\xff",
        b'{"keys":[],"keys":[]}',
        b"{}",
    ],
)
def test_what_is_no_set_is_refused(data: bytes) -> None:
    """Whole: half a set could be a forged one."""
    with pytest.raises(ValueError, match=r".+"):
        jwks.parse(data)
