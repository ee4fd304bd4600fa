"""Made by makemigrations; what Django cannot say stands in 0002."""

from typing import ClassVar

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    """All tables."""

    initial = True

    dependencies: ClassVar = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sku", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("price", models.DecimalField(decimal_places=2, max_digits=12)),
                ("tax_rate", models.DecimalField(db_default=0.1, decimal_places=4, max_digits=5)),
                (
                    "price_with_tax",
                    models.GeneratedField(
                        db_persist=True,
                        expression=django.db.models.expressions.CombinedExpression(
                            models.F("price"),
                            "*",
                            django.db.models.expressions.CombinedExpression(models.Value(1), "+", models.F("tax_rate")),
                        ),
                        output_field=models.DecimalField(decimal_places=2, max_digits=12),
                    ),
                ),
                ("attributes", models.JSONField(null=True)),
                ("is_active", models.BooleanField(db_default=True)),
            ],
            options={
                "db_table": "products",
            },
        ),
        migrations.CreateModel(
            name="Setting",
            fields=[
                ("setting_key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("setting_value", models.TextField(null=True)),
                ("description", models.CharField(max_length=255, null=True)),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "settings",
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("username", models.CharField(max_length=100, unique=True)),
                ("email", models.CharField(max_length=255)),
                ("tenant_id", models.CharField(max_length=100)),
                ("role", models.CharField(db_default="user", max_length=20)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "users",
                "indexes": [models.Index(fields=["email"], name="idx_users_email")],
            },
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant_id", models.CharField(max_length=100)),
                ("quantity", models.IntegerField(db_default=1)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=12)),
                ("status", models.CharField(db_default="pending", max_length=20)),
                ("note", models.TextField(null=True)),
                ("ordered_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("product", models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, to="shop.product")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, to="shop.user")),
            ],
            options={
                "db_table": "orders",
                "indexes": [models.Index(fields=["tenant_id", "ordered_at"], name="idx_orders_tenant_ordered_at")],
            },
        ),
    ]
