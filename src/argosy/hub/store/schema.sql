-- The tables of a hub's store. Times are epoch milliseconds by the origin's clock.
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One epoch of one machine's hub. Records up to and including the `gone` numbers are dropped.
CREATE TABLE IF NOT EXISTS origin (
    id INTEGER PRIMARY KEY,
    machine TEXT NOT NULL,
    epoch TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    last_event INTEGER NOT NULL DEFAULT 0,
    last_tick INTEGER NOT NULL DEFAULT 0,
    gone_event INTEGER NOT NULL DEFAULT 0,
    gone_tick INTEGER NOT NULL DEFAULT 0,
    UNIQUE (machine, epoch)
);

CREATE TABLE IF NOT EXISTS event (
    origin INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (origin, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_time ON event (time_ms);
CREATE INDEX IF NOT EXISTS event_subject ON event (subject, time_ms);
-- Most events are log lines, which are never queried by kind without an agent.
CREATE INDEX IF NOT EXISTS event_kind ON event (kind, time_ms) WHERE kind != 'log';
CREATE INDEX IF NOT EXISTS event_state ON event (subject, time_ms) WHERE kind = 'state';
CREATE INDEX IF NOT EXISTS event_alert ON event (origin, number) WHERE kind = 'alert';

-- Sample rows that are not compacted yet.
CREATE TABLE IF NOT EXISTS tick (
    origin INTEGER NOT NULL,
    number INTEGER NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (origin, number)
) WITHOUT ROWID;

-- Series schemas. The times are series number `series`, the metrics the numbers that follow.
CREATE TABLE IF NOT EXISTS shape (
    id INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL,
    number INTEGER NOT NULL,
    agent TEXT NOT NULL,
    names BLOB NOT NULL,
    series INTEGER NOT NULL,
    UNIQUE (origin, number)
);
CREATE INDEX IF NOT EXISTS shape_agent ON shape (agent);

-- Chunks: `segments` of them from `segment` on. step_ms: 0 if every sample is kept.
CREATE TABLE IF NOT EXISTS run (
    origin INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    step_ms INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (origin, segment)
) WITHOUT ROWID;

-- A row for each series and chunk, with the id series * 2^20 + segment, so that no index is needed.
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- The last sequence number of each source on this machine, so that no record is stored twice.
CREATE TABLE IF NOT EXISTS source (name TEXT PRIMARY KEY, life TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
