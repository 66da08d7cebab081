CREATE TABLE users (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    email varchar(60) NOT NULL,
    name varchar(100) NOT NULL,
    old_preference varchar(20),
    age int,
    country char(2) NOT NULL DEFAULT 'CH',
    created_at datetime NOT NULL DEFAULT '2026-01-01 00:00:00',
    UNIQUE KEY users_email_key (email),
    KEY users_country_idx (country)
) ENGINE=InnoDB CHARACTER SET utf8mb4;
CREATE TABLE orders (
    id int AUTO_INCREMENT PRIMARY KEY,
    user_id bigint NOT NULL,
    status enum('new', 'paid', 'sent') NOT NULL DEFAULT 'new',
    total decimal(10, 2) NOT NULL DEFAULT 0,
    KEY orders_user_idx (user_id)
) ENGINE=InnoDB;
CREATE TABLE order_items (
    order_id int NOT NULL,
    line int NOT NULL,
    product_id int NOT NULL,
    PRIMARY KEY (order_id, line),
    CONSTRAINT items_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
) ENGINE=InnoDB;
CREATE TABLE settings (`key` varchar(40) PRIMARY KEY, value varchar(100) NOT NULL) ENGINE=InnoDB;
CREATE TABLE legacy_logins (id int PRIMARY KEY, at datetime NOT NULL) ENGINE=InnoDB;
CREATE VIEW user_mails AS SELECT id, email FROM users;
INSERT INTO users (email, name, old_preference, age) SELECT concat('user', seq, '@example.org'), concat('User ', seq), if(seq % 2, 'dark', 'light'), 20 + seq % 50 FROM seq_1_to_200;
INSERT INTO orders (user_id, status, total) SELECT 1 + seq % 200, 'paid', seq FROM seq_1_to_200;
INSERT INTO order_items SELECT seq, 1, 1 + seq % 60 FROM seq_1_to_200;
INSERT INTO settings VALUES ('currency', 'CHF'), ('theme', 'plain');
INSERT INTO legacy_logins SELECT seq, '2020-01-01' FROM seq_1_to_60;
