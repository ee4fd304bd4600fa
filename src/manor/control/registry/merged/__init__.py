"""Several sources of tenants as one, with precedence: ``merge`` decides and says where sources disagree, ``spool`` puts tenants
of the same id together in bounded memory, ``provider`` is the source.
"""

from manor.control.registry.merged.merge import Conflict, ConflictReport, Told, merge_tenant
from manor.control.registry.merged.provider import MergedTenantProvider

__all__ = ["Conflict", "ConflictReport", "MergedTenantProvider", "Told", "merge_tenant"]
