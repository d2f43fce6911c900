"""What of urllib3 and Python the transport relies on that is not public, each with its reason.

A new release that moves one of these fails here, and says what to look at,
before it costs an answer.
"""

from __future__ import annotations

import http.client
import inspect
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

LOOK_AT = "personasync/api/transport.py relies on it"


TUNNEL: Any = vars(http.client.HTTPConnection)["_tunnel"]


def test_a_connection_reads_its_answers_with_its_response_class() -> None:
    """The answer is read by ``_Answer``, the word of a proxy by ``_TunnelResponse``."""
    assert HTTPConnection.response_class is http.client.HTTPResponse, LOOK_AT
    source = inspect.getsource(http.client.HTTPConnection.getresponse)
    assert "self.response_class(self.sock" in source, LOOK_AT
    assert "response.begin()" in source, LOOK_AT
    assert "self.response_class(" in inspect.getsource(TUNNEL), LOOK_AT
    assert "httplib_response = super().getresponse()" in inspect.getsource(
        HTTPConnection.getresponse
    ), LOOK_AT


def test_a_pool_sends_the_body_by_its_name() -> None:
    """The connection takes the exchange from ``body``."""
    source = inspect.getsource(HTTPConnectionPool._make_request)
    assert "body=body" in source, LOOK_AT
    assert issubclass(HTTPSConnection, HTTPConnection), LOOK_AT


def test_a_pool_puts_its_connections_back_with_one_method() -> None:
    """``_Pool`` closes them there, so that none is used twice."""
    assert "_put_conn" in inspect.getsource(HTTPConnectionPool.urlopen), LOOK_AT
    assert list(inspect.signature(HTTPConnectionPool._put_conn).parameters) == ["self", "conn"]


def test_the_managers_take_their_pools_from_one_table() -> None:
    """``_Adapter`` puts its own pools there, behind a proxy too."""
    assert "pool_classes_by_scheme" in inspect.getsource(PoolManager._new_pool), LOOK_AT
    assert issubclass(ProxyManager, PoolManager), LOOK_AT
    assert "self.poolmanager = PoolManager(" in inspect.getsource(HTTPAdapter.init_poolmanager)
