"""The rows that the blueprint gives a standard tenant."""

from __future__ import annotations

from decimal import Decimal

from benchmarks.django_peer.shop.models import Order, Product, Setting, User


def load_rows(name: str) -> None:
    """Into the schema that the connection is set to: three users, three products, two orders, three settings."""
    users = User.objects.bulk_create(
        User(username=who, email=f"{who}@customer_a.example.com", tenant_id=name, role=role)
        for who, role in (("admin", "admin"), ("operator", "operator"), ("user001", "user"))
    )
    products = Product.objects.bulk_create(
        Product(sku=sku, name=title, price=Decimal(price), attributes=attributes)
        for sku, title, price, attributes in (
            ("PLAN-STD-MONTHLY", "スタンダードプラン（月額）", "9800.00", {"billing": "monthly", "seats": 10}),
            ("OPT-STORAGE-100GB", "ストレージ追加 100GB", "1980.00", {"billing": "monthly", "gigabytes": 100}),
            ("SUPPORT-EMAIL", "メールサポート", "0.00", None),
        )
    )
    Order.objects.bulk_create(
        Order(tenant_id=name, user=users[user], product=products[product], amount=Decimal(amount), status=status, note=note)
        for user, product, amount, status, note in (
            (0, 0, "10780.00", "paid", f"{name} の初期契約"),
            (1, 2, "0.00", "pending", None),
        )
    )
    Setting.objects.bulk_create(
        Setting(setting_key=key, setting_value=value, description=text)
        for key, value, text in (
            ("tenant.type", "standard", "契約プラン"),
            ("tenant.database", f"{name}_main", "このテナントのデータベース"),
            ("locale", "ja_JP", "既定の言語"),
        )
    )
