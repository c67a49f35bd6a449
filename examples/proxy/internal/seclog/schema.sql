-- The tables of failed registrations and of requests that were turned away, as
-- programs for fail2ban and dashboards know them, and the table of versions.

CREATE TABLE IF NOT EXISTS version (
    table_name    CHAR(32)     NOT NULL,
    table_version INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY t_name_idx (table_name)
) ENGINE = InnoDB;

INSERT INTO version (table_name, table_version)
    SELECT 'failed_registrations', 1 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'failed_registrations');

INSERT INTO version (table_name, table_version)
    SELECT 'door_knock_attempts', 1 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'door_knock_attempts');

CREATE TABLE IF NOT EXISTS failed_registrations (
    id              INT UNSIGNED NOT NULL AUTO_INCREMENT,
    username        VARCHAR(64)  NOT NULL,
    domain          VARCHAR(128) NOT NULL,
    source_ip       VARCHAR(45)  NOT NULL,
    source_port     INT          NOT NULL,
    user_agent      VARCHAR(255) DEFAULT NULL,
    response_code   INT          NOT NULL,
    response_reason VARCHAR(255) DEFAULT NULL,
    attempt_time    DATETIME     NOT NULL,
    expires_header  INT          DEFAULT NULL,
    attempts        INT UNSIGNED NOT NULL DEFAULT 1,
    PRIMARY KEY (id),
    KEY user_time_idx (username, domain, attempt_time),
    KEY source_time_idx (source_ip, attempt_time),
    KEY time_idx (attempt_time),
    KEY code_idx (response_code)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS door_knock_attempts (
    id           INT UNSIGNED NOT NULL AUTO_INCREMENT,
    domain       VARCHAR(128) DEFAULT NULL,
    source_ip    VARCHAR(45)  NOT NULL,
    source_port  INT          NOT NULL,
    user_agent   VARCHAR(255) DEFAULT NULL,
    method       VARCHAR(16)  NOT NULL,
    request_uri  VARCHAR(255) DEFAULT NULL,
    reason       VARCHAR(128) NOT NULL,
    attempt_time DATETIME     NOT NULL,
    attempts     INT UNSIGNED NOT NULL DEFAULT 1,
    PRIMARY KEY (id),
    KEY domain_time_idx (domain, attempt_time),
    KEY source_time_idx (source_ip, attempt_time),
    KEY time_idx (attempt_time),
    KEY reason_idx (reason)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
