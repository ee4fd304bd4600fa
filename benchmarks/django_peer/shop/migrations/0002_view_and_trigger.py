"""The view and the trigger of the blueprint."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

VIEW = """
CREATE VIEW order_summary AS
SELECT u.id AS user_id, u.username, count(o.id) AS order_count, coalesce(sum(o.amount), 0) AS total_amount
FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id, u.username
"""
TRIGGER = """
CREATE FUNCTION orders_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.updated_at := CURRENT_TIMESTAMP; RETURN NEW; END $$;
CREATE TRIGGER orders_touch_updated_at BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_touch_updated_at()
"""


class Migration(migrations.Migration):  # type: ignore[misc]
    """Both in one."""

    dependencies: ClassVar = [("shop", "0001_initial")]
    operations: ClassVar = [migrations.RunSQL(VIEW), migrations.RunSQL(TRIGGER)]
