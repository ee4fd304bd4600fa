"""The rival of ``deploy_django_tenants``: a Django project whose tenants get the tables and rows of the standard plan."""
