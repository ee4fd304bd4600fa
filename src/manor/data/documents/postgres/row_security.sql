-- A second wall: whoever is bound by it sees the rows of one tenant, the one that the transaction names, and none without a name.
ALTER TABLE documents_tables ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents_tables FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS documents_tenant ON documents_tables;
CREATE POLICY documents_tenant ON documents_tables USING (tenant = current_setting('manor.tenant', true));
ALTER TABLE documents_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents_items FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS documents_tenant ON documents_items;
CREATE POLICY documents_tenant ON documents_items USING (tenant = current_setting('manor.tenant', true));
ALTER TABLE documents_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents_entries FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS documents_tenant ON documents_entries;
CREATE POLICY documents_tenant ON documents_entries USING (tenant = current_setting('manor.tenant', true));
ALTER TABLE documents_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents_tokens FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS documents_tenant ON documents_tokens;
CREATE POLICY documents_tenant ON documents_tokens USING (tenant = current_setting('manor.tenant', true));
