"""Updates the current state from incoming records of any machine."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from argosy.hub.ingest.current_state import CurrentState
from argosy.hub.store.block_codec import decode_block
from argosy.hub.store.legacy_names import upgrade_event
from argosy.hub.store.records import (
    ChunkColumn,
    EventHeader,
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    RecordStream,
    SampleRow,
    SeriesSchema,
)
from argosy.hub.store.store_reader import StoreReader

_decode_row = msgspec.msgpack.Decoder(SampleRow).decode
_decode_header = msgspec.msgpack.Decoder(EventHeader).decode
_event_decoder = msgspec.msgpack.Decoder(HubEvent)


class StateUpdater:
    """Applies records to the current state.

    machine_of: returns the machine that an agent is declared on, None if unknown. on_action: called with each
    action received from another machine's hub.
    """

    on_action: Callable[[str, HubEvent], object] = staticmethod(lambda *_: None)

    def __init__(
        self, current_state: CurrentState, reader: StoreReader, machine_of: Callable[[str], str | None]
    ) -> None:
        self._current_state = current_state
        self._machine_of = machine_of
        self._schemas: dict[RecordOrigin, dict[int, SeriesSchema]] = {}
        for origin, schema in reader.schemas():
            self._schemas.setdefault(origin, {})[schema.schema_id] = schema
        for stored_event in reader.last_states():
            self.update(stored_event.origin.machine, [stored_event.event], ())

    def update(self, machine: str, events: Sequence[HubEvent], samples: Iterable[MetricSample]) -> None:
        """Apply events and samples of a machine's hub."""
        for event in events:
            self._current_state.update(self._machine_of(event.subject) or machine, [event])
        for each in samples:
            self._current_state.update(self._machine_of(each.agent) or machine, (), [each])

    def update_from_batch(self, batch: RecordBatch) -> None:
        """Apply a batch received from another hub."""
        if batch.stream is RecordStream.EVENTS:
            for row in batch.rows:
                kind = _decode_header(row).kind
                if kind in CurrentState.KINDS:
                    self.update(batch.origin.machine, [_decode_event(row)], ())
                elif kind == "action":
                    self.on_action(batch.origin.machine, _decode_event(row))
            return
        self._add_schemas(batch.origin, batch.schemas)
        for row in batch.rows:
            self.update(batch.origin.machine, (), self._samples(batch.origin, _decode_row(row)))
        self._add_schemas(batch.origin, (column.schema for column in batch.columns))
        if batch.chunk and not batch.chunk.step_ms:
            self.update(batch.origin.machine, (), map(_last_sample, batch.columns))

    def _samples(self, origin: RecordOrigin, sample_row: SampleRow) -> Iterator[MetricSample]:
        known = self._add_schemas(origin, sample_row.schemas)
        offset = 0
        for schema_id, time_ms in zip(
            array("I", sample_row.schema_ids), array("d", sample_row.times), strict=True
        ):
            schema = known.get(schema_id)
            if schema is None:
                return  # the schema was dropped, so the offsets after it are unknown
            end = offset + 8 * len(schema.names)
            yield MetricSample(schema.agent, schema.names, int(time_ms), sample_row.values[offset:end])
            offset = end

    def _add_schemas(self, origin: RecordOrigin, schemas: Iterable[SeriesSchema]) -> dict[int, SeriesSchema]:
        known = self._schemas.setdefault(origin, {})
        known.update((schema.schema_id, schema) for schema in schemas)
        return known


def _decode_event(row: bytes) -> HubEvent:
    return upgrade_event(_event_decoder.decode(row))


def _last_sample(column: ChunkColumn) -> MetricSample:
    values = array("d", [decode_block(block)[-1] for block in column.values])
    return MetricSample(
        column.schema.agent, column.schema.names, int(decode_block(column.times)[-1]), values.tobytes()
    )
