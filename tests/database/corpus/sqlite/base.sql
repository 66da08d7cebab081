CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    old_preference TEXT,
    age INTEGER,
    country TEXT NOT NULL DEFAULT 'CH'
);
CREATE INDEX users_country_idx ON users (country);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, total NUMERIC NOT NULL DEFAULT 0);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id), line INTEGER NOT NULL, product_id INTEGER NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE legacy_logins (id INTEGER PRIMARY KEY, at TEXT NOT NULL);
CREATE VIEW user_mails AS SELECT id, email FROM users;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO users (email, name, old_preference, age)
SELECT 'user' || i || '@example.org', 'User ' || i, CASE i % 2 WHEN 0 THEN 'dark' ELSE 'light' END, 20 + i % 50 FROM n;
INSERT INTO orders (user_id, total) SELECT id, id FROM users;
INSERT INTO order_items SELECT id, 1, 1 + id % 60 FROM orders;
INSERT INTO settings VALUES ('currency', 'CHF'), ('theme', 'plain');
INSERT INTO legacy_logins SELECT id, '2020-01-01' FROM users;
