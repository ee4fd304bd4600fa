"""Models that give the tables, keys and indexes of the blueprint's schema.yaml; view and trigger are in the migrations."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class User(models.Model):  # type: ignore[misc]
    """users"""

    username = models.CharField(max_length=100, unique=True)
    email = models.CharField(max_length=255)
    tenant_id = models.CharField(max_length=100)
    role = models.CharField(max_length=20, db_default="user")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "users"
        indexes: ClassVar = [models.Index(fields=["email"], name="idx_users_email")]


class Product(models.Model):  # type: ignore[misc]
    """products"""

    sku = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=12, decimal_places=2)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=4, db_default=0.1)
    price_with_tax = models.GeneratedField(
        expression=models.F("price") * (1 + models.F("tax_rate")),
        output_field=models.DecimalField(max_digits=12, decimal_places=2),
        db_persist=True,
    )
    attributes = models.JSONField(null=True)
    is_active = models.BooleanField(db_default=True)

    class Meta:
        db_table = "products"


class Order(models.Model):  # type: ignore[misc]
    """orders"""

    tenant_id = models.CharField(max_length=100)
    user = models.ForeignKey(User, on_delete=models.RESTRICT)
    product = models.ForeignKey(Product, on_delete=models.RESTRICT)
    quantity = models.IntegerField(db_default=1)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=20, db_default="pending")
    note = models.TextField(null=True)
    ordered_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "orders"
        indexes: ClassVar = [models.Index(fields=["tenant_id", "ordered_at"], name="idx_orders_tenant_ordered_at")]


class Setting(models.Model):  # type: ignore[misc]
    """settings"""

    setting_key = models.CharField(max_length=100, primary_key=True)
    setting_value = models.TextField(null=True)
    description = models.CharField(max_length=255, null=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "settings"
