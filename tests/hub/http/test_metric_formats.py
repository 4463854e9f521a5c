"""Metric formats: scraping, OpenMetrics, OTLP and the Grafana dashboard, checked with real parsers."""

from __future__ import annotations

import http.server
import json
import math
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from argosy.fleet.fleet_spec import Scrape
from argosy.fleet.loader import load_fleet
from argosy.hub.http.exposition import render_openmetrics
from argosy.hub.http.grafana import make_dashboard
from argosy.hub.http.otlp import OtlpExporter, export_request, protobuf_encoder
from argosy.hub.ingest.current_state import AgentSnapshot
from argosy.hub.ingest.scraper import LEFT_OUT_METRIC, UP_METRIC, Scraper, parse_samples
from argosy.hub.store.records import MetricSample
from rig.needs import needs
from rig.webserver import raw_server, serving

PLAIN = """# HELP http_requests_total The total.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"} 3
# TYPE temperature gauge
temperature{place="a \\"b\\" \\\\ c"} -1.5e3
"""
OPEN = """# TYPE jobs counter
jobs_total{queue="q"} 17.0
# EOF
"""
FIGURES = st.dictionaries(
    st.from_regex(r"[a-z_]{1,3}(_total)?(\{(a|agent)=\"[a-z\"\\ ]{0,3}\"\})?", fullmatch=True) | st.text(),
    st.floats(),
)


@contextmanager
def server(answer: Callable[[http.server.BaseHTTPRequestHandler], tuple[str, bytes]]) -> Iterator[str]:
    """Serve what `answer` returns, a content type and a body; an empty type is a failure."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = answer(self)
            self.send_response(200 if kind else 503)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as http.server calls it

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


def snapshots() -> list[AgentSnapshot]:
    figures = {
        "handled": 7.0,
        "loop_lag_ms": 0.25,
        "odd": math.nan,
        "big": math.inf,
        **parse_samples(PLAIN, is_openmetrics=False),
    }
    return [
        AgentSnapshot("A", "pc1", "ready", 1.0, metrics=figures, metrics_ms=5000),
        AgentSnapshot("B", 'p"c'),
    ]


def test_parse_samples_reads_prometheus_and_openmetrics() -> None:
    assert parse_samples(PLAIN, is_openmetrics=False) == {
        'http_requests_total{code="200",method="post"}': 1027.0,
        'http_requests_total{code="400",method="post"}': 3.0,
        'temperature{place="a \\"b\\" \\\\ c"}': -1500.0,
    }
    assert parse_samples(OPEN, is_openmetrics=True) == {'jobs_total{queue="q"}': 17.0}
    with pytest.raises(ValueError):
        parse_samples("# TYPE jobs counter\njobs_total 1\n", is_openmetrics=True)  # no end


def test_scraper_reports_failure_and_recovery_once_and_limits_samples() -> None:
    answers = iter(
        [
            ("text/plain", PLAIN),
            ("application/openmetrics-text", OPEN),
            ("", ""),
            ("", ""),
            ("text/plain", PLAIN),
        ]
    )

    def answer(_: http.server.BaseHTTPRequestHandler) -> tuple[str, bytes]:
        kind, text = next(answers)
        return kind, text.encode()

    with server(answer) as url:
        scraper = Scraper(None, Scrape("A", f"{url}/metrics", max_samples=2))  # type: ignore[arg-type] - not asked
        seen = [scraper.scrape_once() for _ in range(5)]
    numbers = [dict(zip(each.names, array("d", each.values), strict=True)) for _, (each,) in seen]
    assert [each[UP_METRIC] for each in numbers] == [1, 1, 0, 0, 1]
    assert [each[LEFT_OUT_METRIC] for each in numbers] == [1, 0, 0, 0, 1]
    assert [len(each) for each in numbers] == [4, 3, 2, 2, 4]
    assert [[event.kind for event in events] for events, _ in seen] == [
        [],
        [],
        ["scrape-failed"],
        [],
        ["scrape-recovered"],
    ]


HISTOGRAM = '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{xx="1"} 1\nh_count 1\nh_sum 1\n# EOF\n'
PIECES = st.sampled_from(
    [PLAIN, OPEN, HISTOGRAM, "# TYPE h histogram\n", "h_bucket", *'{},=" \n1a', "# EOF\n"]
)


@given(st.text() | st.lists(PIECES).map("".join), st.booleans())
@example('a{, ="x"} 1\n', False)
@example(' {b="c"} 1\n# EOF\n', True)
@example(HISTOGRAM, True)
def test_parse_samples_raises_only_value_error_for_any_text(text: str, is_open: bool) -> None:
    try:
        samples = parse_samples(text, is_open)
    except ValueError:
        return
    assert all(isinstance(value, float) for value in samples.values())


@pytest.mark.parametrize(
    "answer",
    [
        b"what?\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\na",
        b'HTTP/1.0 200 OK\r\n\r\na{, ="x"} 1\n',
        b"HTTP/1.0 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.0 200 OK\r\ncontent-type: application/openmetrics-text\r\n\r\n" + HISTOGRAM.encode(),
    ],
    ids=["no-http", "cut-off", "no-exposition", "no-text", "bad-histogram"],
)
def test_scraper_reports_unreadable_answer_as_scrape_failed(answer: bytes) -> None:
    with raw_server([answer]) as url:
        scraper = Scraper(None, Scrape("A", url))  # type: ignore[arg-type] - not asked
        (event,), (figures,) = scraper.scrape_once()
        assert event.kind == "scrape-failed"
        assert event.body["reason"]
        assert dict(zip(figures.names, array("d", figures.values), strict=True))[UP_METRIC] == 0


def test_otlp_exporter_reports_bad_answer_and_bad_url_as_failure() -> None:
    with raw_server([b"what?\r\n\r\n"]) as url:
        export = OtlpExporter(url, "fleet", snapshots)
        export.send(export_request(snapshots(), "fleet", 1))
        assert export.failure
    export = OtlpExporter("nowhere", "fleet", snapshots)
    export.send(export_request(snapshots(), "fleet", 1))
    assert "unknown url type" in export.failure


@given(FIGURES)
def test_openmetrics_output_of_any_metrics_is_parseable(figures: dict[str, float]) -> None:
    text = render_openmetrics(
        [AgentSnapshot("A", "pc1", "ready", metrics=figures), AgentSnapshot("B", "pc2", "exited")]
    )
    list(text_string_to_metric_families(text))


def test_openmetrics_output_keeps_scraped_labels() -> None:
    families = {each.name: each for each in text_string_to_metric_families(render_openmetrics(snapshots()))}
    requests = families["argosy_agent_http_requests"]
    assert requests.type == "counter"
    assert [(s.labels["agent"], s.labels["code"], s.value) for s in requests.samples] == [
        ("A", "200", 1027),
        ("A", "400", 3),
    ]
    (sample,) = families["argosy_agent_temperature"].samples
    assert sample.labels["place"] == 'a "b" \\ c'


@needs("promtool")
def test_openmetrics_output_passes_promtool() -> None:
    text = render_openmetrics(snapshots()).replace("# EOF\n", "")
    text = text.replace(" stateset", " gauge").replace(
        "# TYPE argosy_agent_handled counter", "# TYPE argosy_agent_handled_total counter"
    )
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
    )
    # 3: it parses, and the linter would have other names
    assert checked.returncode in (0, 3), checked.stdout + checked.stderr


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
def test_otlp_exporter_sends_agents_as_resources_and_reports_http_failure(kind: str) -> None:
    requests = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    from google.protobuf.json_format import Parse  # noqa: PLC0415 - where it is installed

    bodies: list[tuple[str, str, bytes]] = []

    def take(handler: http.server.BaseHTTPRequestHandler) -> tuple[str, bytes]:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        bodies.append((handler.path, handler.headers["content-type"], body))
        return (kind, b"") if len(bodies) != 1 else ("", b"")

    with server(take) as url:
        export = OtlpExporter(url, "harbour", snapshots, protobuf_encoder() if "protobuf" in kind else None)
        request = export_request(snapshots(), "harbour", 4_000_000)
        export.send(request)
        assert "503" in export.failure
        export.send(request)
        assert export.failure == ""
    assert [(path, said) for path, said, _ in bodies] == [("/v1/metrics", kind)] * 2
    body, message = bodies[1][2], requests.ExportMetricsServiceRequest
    said = message.FromString(body) if "protobuf" in kind else Parse(body, message())
    names = [
        {a.key: a.value.string_value for a in each.resource.attributes} for each in said.resource_metrics
    ]
    assert names == [
        {"service.name": "A", "service.namespace": "harbour", "host.name": "pc1"},
        {"service.name": "B", "service.namespace": "harbour", "host.name": 'p"c'},
    ]
    metrics = {each.name: each for each in said.resource_metrics[0].scope_metrics[0].metrics}
    handled = metrics["argosy.agent.handled"].sum
    assert (handled.is_monotonic, handled.data_points[0].as_double) == (True, 7.0)
    assert math.isnan(metrics["argosy.agent.odd"].gauge.data_points[0].as_double)
    assert metrics["argosy.agent.up"].gauge.data_points[0].as_int == 1


def test_otlp_exporter_uses_json_without_protobuf_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.metrics.v1", None)
    assert protobuf_encoder() is None


def test_dashboard_queries_agents_of_each_group_and_panels_do_not_overlap(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "fleet.yaml").write_text(
        "fleet: harbour\nagents:\n  A.b: {run: a.py, group: one}\n  C: {run: a.py, group: one}\n"
        "  D: {run: a.py}\n"
    )
    made = json.loads(json.dumps(make_dashboard(load_fleet(tmp_path / "fleet.yaml"))))
    cells = [
        (x, y)
        for each in (panel["gridPos"] for panel in made["panels"])
        for x in range(each["x"], each["x"] + each["w"])
        for y in range(each["y"], each["y"] + each["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    assert [panel["title"] for panel in made["panels"] if panel["type"] == "row"] == ["one", "harbour"]
    asked = [target["expr"] for panel in made["panels"] for target in panel.get("targets", ())]
    assert any('agent=~"A\\\\.b|C"' in expression for expression in asked)
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_stale_metrics_are_left_out_of_openmetrics_and_otlp() -> None:
    snapshot = AgentSnapshot("A", "pc1", "degraded", 1.0, silent_since=1006.0)
    own = struct.pack("<2d", 0.25, 7.0)
    ago_s = time.monotonic() - 74
    snapshot.update(MetricSample("A", ("loop_lag_ms", "handled"), 1_004_000, own), ago_s)
    snapshot.update(MetricSample("A", ("process_rss_bytes",), 1_060_000, struct.pack("<d", 5.0)), ago_s + 70)
    assert snapshot.stale_metrics(ago_s + 9) == {}
    assert snapshot.stale_metrics(ago_s + 74) == {"loop_lag_ms": 74, "handled": 74}
    exposed = {
        sample.name: sample.value
        for family in text_string_to_metric_families(render_openmetrics([snapshot]))
        for sample in family.samples
        if not sample.name.endswith("_state")
    }
    assert exposed == {
        "argosy_agent_up": 0,
        "argosy_agent_last_seen_timestamp_seconds": 1006,
        "argosy_agent_process_rss_bytes": 5,
    }
    request = export_request([snapshot], "toy", 1)
    metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert [each["name"] for each in metrics] == ["argosy.agent.up", "argosy.agent.process_rss_bytes"]


def test_metric_with_long_interval_becomes_stale_after_missed_updates() -> None:
    snapshot = AgentSnapshot("A", "pc1")
    value = struct.pack("<d", 1.0)
    snapshot.update(MetricSample("A", ("rare",), 0, value), 0.0)
    assert snapshot.stale_metrics(59.0) == {}
    assert snapshot.stale_metrics(61.0) == {"rare": 61.0}
    snapshot.update(MetricSample("A", ("rare",), 300_000, value), 300.0)
    assert snapshot.stale_metrics(1499.0) == {}
    assert snapshot.stale_metrics(1501.0) == {"rare": 1201.0}
