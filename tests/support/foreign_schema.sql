-- A bot's own schema with some life in it: what our migrations have to leave as it is.
CREATE TYPE dialog_status AS ENUM ('active', 'paused', 'archived');
CREATE DOMAIN temperature AS numeric(3, 2) CHECK (VALUE BETWEEN 0 AND 2);

CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('f3a9c1d2e4b5');

CREATE TABLE users (
    id serial PRIMARY KEY,
    telegram_id bigint NOT NULL UNIQUE,
    username varchar(64)
);

CREATE TABLE personas (
    id serial PRIMARY KEY,
    name varchar(32) NOT NULL UNIQUE
);
COMMENT ON TABLE personas IS 'who may be talked to';

CREATE TABLE dialogs (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona_id integer NOT NULL REFERENCES personas (id),
    status dialog_status NOT NULL DEFAULT 'active',
    message_count integer NOT NULL DEFAULT 0,
    warmth temperature DEFAULT 0.70,
    settings jsonb NOT NULL DEFAULT '{}',
    extra json,
    tags text[] DEFAULT '{}',
    summary text,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', coalesce(summary, ''))) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamp without time zone,
    CONSTRAINT dialogs_counts_up CHECK (message_count >= 0),
    CONSTRAINT one_active_dialog UNIQUE (user_id, persona_id)
);
COMMENT ON TABLE dialogs IS 'conversations, by the bot';
COMMENT ON COLUMN dialogs.summary IS 'what went before, in short';
CREATE INDEX dialogs_by_user ON dialogs (user_id, created_at DESC);
CREATE INDEX dialogs_active ON dialogs (updated_at) WHERE status = 'active';
CREATE INDEX dialogs_search ON dialogs USING gin (search);

CREATE TABLE messages (
    id bigserial PRIMARY KEY,
    dialog_id integer NOT NULL REFERENCES dialogs (id) ON DELETE CASCADE,
    role varchar(16) NOT NULL,
    text text
);
CREATE INDEX messages_by_dialog ON messages (dialog_id);

CREATE VIEW active_dialogs AS SELECT id, user_id, settings FROM dialogs WHERE status = 'active';

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER dialogs_touch BEFORE UPDATE ON dialogs FOR EACH ROW EXECUTE FUNCTION touch();

INSERT INTO users (telegram_id, username)
SELECT 7000000000 + n, 'user' || n FROM generate_series(1, 50) AS n;
INSERT INTO personas (name)
VALUES ('ash'), ('julie'), ('lina'), ('marriana'), ('may'), ('stacy'), ('taya'), ('una');
INSERT INTO dialogs (user_id, persona_id, message_count, settings, extra, tags, summary)
SELECT u, p, u * p, jsonb_build_object('tone', u), '{"a":  1}', ARRAY['a', 'b'], 'about ' || u
FROM generate_series(1, 50) AS u, generate_series(1, 8) AS p;
INSERT INTO messages (dialog_id, role, text)
SELECT d, 'user', 'hello ' || n FROM generate_series(1, 400) AS d, generate_series(1, 3) AS n;
