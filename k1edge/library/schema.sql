-- The library's index. Maps themselves are files; a row appears only after its file is safely on disk.
CREATE TABLE tracks (
    key          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,          -- first 16 hex digits of audio_sha256
    audio_sha256 TEXT NOT NULL,
    filename     TEXT NOT NULL,
    title        TEXT NOT NULL,
    artist       TEXT NOT NULL,
    tags         TEXT NOT NULL,                 -- JSON list
    preset       TEXT NOT NULL,
    source       TEXT NOT NULL CHECK (source IN ('file', 'live')),
    status       TEXT NOT NULL CHECK (status IN ('processing', 'ready', 'warning', 'failed')),
    version      INTEGER,                       -- the current one; NULL before the first
    duration_ms  REAL,
    bpm          REAL,
    f_measure    REAL,                          -- NULL = nobody measured it
    pinned       INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    deleted_ms   INTEGER,                       -- soft delete
    override     TEXT                           -- JSON {by, at, note} of the current version's beats
);
CREATE INDEX tracks_by_update ON tracks (updated_ms);

CREATE TABLE versions (
    track_id   TEXT NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    n          INTEGER NOT NULL,
    reason     TEXT NOT NULL CHECK (reason IN ('analysis', 'live', 'override', 'import')),
    job_id     TEXT UNIQUE,                     -- no job makes two
    engine     TEXT NOT NULL,
    bpm        REAL NOT NULL,
    beats      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (track_id, n)
);

CREATE TABLE artefacts (
    track_id   TEXT NOT NULL,
    n          INTEGER NOT NULL,
    name       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (track_id, n, name),
    FOREIGN KEY (track_id, n) REFERENCES versions (track_id, n) ON DELETE CASCADE
);

CREATE TABLE jobs (
    key          INTEGER PRIMARY KEY,           -- order of arrival; of the ended, of their ends
    id           TEXT NOT NULL UNIQUE,
    track_id     TEXT NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    path         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed')),
    priority     INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 10),
    attempts     INTEGER NOT NULL DEFAULT 0,
    submitted_ms INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER,
    code         TEXT,                          -- of a failure
    reason       TEXT,
    log          TEXT NOT NULL DEFAULT ''       -- the last lines of the worker
);
CREATE INDEX jobs_waiting ON jobs (state, priority, key);

CREATE TABLE inbox (
    name     TEXT PRIMARY KEY,
    stamp    TEXT NOT NULL,                     -- size and mtime, so that a replaced file is seen as new
    problem  TEXT                               -- why it was refused; of one that was not, its job
);

CREATE TABLE audit (
    at_ms    INTEGER NOT NULL,
    by       TEXT NOT NULL,
    action   TEXT NOT NULL,
    track_id TEXT,
    note     TEXT NOT NULL
);

CREATE VIRTUAL TABLE words USING fts5 (title, artist, tags, filename, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3');
