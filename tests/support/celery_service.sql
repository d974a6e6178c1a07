-- The tables of a bot that had its pictures from a Celery service: dialogs have a count of the
-- messages of both roles, and the count at which the last picture was requested.
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('27');

CREATE TABLE users (id bigint PRIMARY KEY, language_code varchar(10));
CREATE TABLE personas (id serial PRIMARY KEY, key varchar(64) NOT NULL UNIQUE);

CREATE TABLE dialogs (
    id serial PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    persona_id integer REFERENCES personas (id),
    message_count integer DEFAULT 0,
    last_image_generation_at integer,
    updated_at timestamptz
);
COMMENT ON COLUMN dialogs.last_image_generation_at IS 'count at the last picture';

CREATE TABLE messages (
    id serial PRIMARY KEY,
    dialog_id integer NOT NULL REFERENCES dialogs (id),
    role varchar(20) NOT NULL,
    content text NOT NULL
);

INSERT INTO personas (key) VALUES ('mei');
INSERT INTO users (id) SELECT 1000 + n FROM generate_series(1, 60) AS n;
INSERT INTO dialogs (user_id, persona_id) SELECT 1000 + n, 1 FROM generate_series(1, 60) AS n;
