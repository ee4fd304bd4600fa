"""The shapes of sources behind an API, as they stand in ``project.yaml`` and in a file of ``--config``.

Imported by ``settings_shapes``. The docstrings are the settings' documentation. Secrets never reach a ``repr``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema, model_validator

from manor.typed_input import StrictModel

Name = Annotated[str, Field(min_length=1, max_length=256)]
Expression = Annotated[str, Field(min_length=1, max_length=1_000)]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=16_384), WithJsonSchema({"type": "string"})]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
TenantField = Literal[
    "tenant_id",
    "customer_code",
    "customer_name",
    "region",
    "tier",
    "status",
    "created_at",
    "updated_at",
    "isolation_strategy",
    "database_prefix",
    "schema_suffix",
    "table_prefix",
    "instances",
    "billing_info",
    "contract_info",
]
"""The fields of ``TenantInfo``, which stands above."""
FilterField = Literal[
    "tenant_id",
    "customer_code",
    "customer_name",
    "region",
    "tier",
    "status",
    "isolation_strategy",
    "database_prefix",
    "schema_suffix",
    "table_prefix",
]
"""Those that are text, which an API can be asked for."""


def _address(text: str) -> str:
    """Raise ``ValueError`` for what is no plain address of HTTP."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise ValueError("must be an address such as https://crm.example.com/api")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or a password; auth.basic is for these")
    if parts.query or parts.fragment:
        raise ValueError("must not have a '?' or a '#'")
    return text


Address = Annotated[str, Field(max_length=2_000), AfterValidator(_address), WithJsonSchema({"type": "string"})]


class ApiKey(StrictModel):
    """An API key, in a header or in the query."""

    value: Secret
    """The key."""
    header: Header | None = None
    """Header that holds it; `X-API-Key` where neither `header` nor `parameter` is given."""
    parameter: Name | None = None
    """Parameter of the query that holds it, where the API cannot take a header."""

    @model_validator(mode="after")
    def _one_place(self) -> ApiKey:
        if self.header is not None and self.parameter is not None:
            raise ValueError("must have a header or a parameter, not both")
        return self


class BasicAuth(StrictModel):
    """User and password (HTTP Basic)."""

    username: Name
    """The user."""
    password: Secret
    """The password."""


class OAuthClient(StrictModel):
    """OAuth 2.0 client credentials; the token is fetched when it is needed and again before it ends."""

    token_url: Address
    """Where tokens are given out."""
    client_id: Name
    """Who asks."""
    client_secret: Secret
    """What proves it."""
    scope: Annotated[str, Field(max_length=2_000)] = ""
    """What is asked for, words with blanks between; the server's own default where it is empty."""
    audience: Annotated[str, Field(max_length=2_000)] = ""
    """For which API the token is to be, where the server wants to know."""
    send_as: Literal["basic", "body"] = "basic"
    """How id and secret are sent: as HTTP Basic, or in the body."""


class ApiAuth(StrictModel):
    """How requests prove who asks; one way only."""

    api_key: ApiKey | None = None
    """By an API key."""
    basic: BasicAuth | None = None
    """By user and password."""
    oauth: OAuthClient | None = None
    """By OAuth 2.0 client credentials."""


class ApiAccess(StrictModel):
    """How an API is reached."""

    api_base_url: Address
    """Where the API is."""
    auth_token: Secret | None = None
    """Bearer token."""
    auth: ApiAuth = Field(default_factory=ApiAuth)
    """Other ways to prove who asks."""
    headers: dict[Header, Annotated[str, Field(pattern=r"^[ -~]*$", max_length=2_000)]] = Field(default_factory=dict)
    """Further headers of every request, such as `Accept-Language`; secrets belong into `auth`."""
    timeout: Seconds = 30
    """Seconds that one request may take, its answer included."""
    retry_attempts: Annotated[int, Field(ge=0, le=20)] = 3
    """Further tries after a transient error."""
    longest_wait: Annotated[int, Field(ge=0, le=86_400)] = 120
    """Most seconds that the API may ask to be left alone for (`Retry-After`) before Manor gives up."""
    ca_file: Name | None = None
    """Certificates (PEM) that the API's own is signed by, relative to the project; the well-known ones where it is absent."""
    allow_http: bool = False
    """Whether a secret may be sent over `http://` to another machine."""
    fields: dict[TenantField, Expression] = Field(default_factory=dict)
    """By field of a tenant: where it stands in the API's record, as JMESPath. A field that is not named here is the record's
    key of the same name."""
    filters: dict[FilterField, Name] = Field(default_factory=dict)
    """By field of a tenant: the API's parameter (GraphQL: variable) that filters by it. Manor filters by all others itself."""
    filter_values: dict[FilterField, dict[Name, Name]] = Field(default_factory=dict)
    """By field and value of a tenant: what the API calls that value, where it differs."""

    @model_validator(mode="after")
    def _one_way(self) -> ApiAccess:
        ways = [self.auth_token, self.auth.api_key, self.auth.basic, self.auth.oauth]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("must have one of auth_token, auth.api_key, auth.basic and auth.oauth, not several")
        return self


class ApiPagination(StrictModel):
    """How the API cuts its list into pages."""

    style: Literal["offset", "page", "cursor", "link", "none"] = "offset"
    """What names the next page: a row, a page's number, a cursor, or an address (a `Link` header, or `next`). `none`: there is
    one answer, and it has all."""
    size: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Tenants that are asked for at a time; the API may give fewer."""
    size_parameter: Name | None = "limit"
    """Parameter that holds the size; null: the API does not let itself be told."""
    offset_parameter: Name = "offset"
    """Parameter for the row to begin with (`offset`)."""
    page_parameter: Name = "page"
    """Parameter for the page's number (`page`)."""
    first_page: Literal[0, 1] | None = None
    """Number of the first page (`page`). Where this is absent it is 1, and page 0 is asked for once: tenants that stand
    only there are an error."""
    cursor_parameter: Name = "cursor"
    """Parameter for the cursor (`cursor`)."""
    next: Expression | None = None
    """Where the answer has the next page's cursor (`cursor`; `next_cursor` where this is absent) or address (`link`), as
    JMESPath."""
    more: Expression | None = None
    """Where the answer says whether there are further pages, by true or false, as JMESPath, where it does."""
    total: Expression | None = None
    """Where the answer says how many tenants there are, as JMESPath, where it does so exactly."""
    total_header: Header | None = None
    """Header that says so, such as `X-Total-Count`."""
    verify: bool = True
    """Whether each boundary of pages is looked at again, so that a list that moves under the walk is noticed
    (`offset`: pages overlap by one tenant; `page` and `link`: the page before is asked for once more), and whether the end is
    looked behind that is an empty page, or a total of no more than the first page."""


class ApiSource(ApiAccess):
    """Tenants behind a REST API."""

    list_path: Name = "/tenants"
    """Path of the list."""
    items: Expression = "items"
    """Where its answer has the records, as JMESPath; `@`: the answer is the list."""
    tenant_path: Name | None = "/tenants/{tenant_id}"
    """Path of one tenant; null: there is none, and the list is looked through."""
    tenant: Expression = "@"
    """Where its answer has the record, as JMESPath."""
    config_path: Name | None = "/tenants/{tenant_id}/config"
    """Path of one tenant's settings; null: there are none."""
    config: Expression = "@"
    """Where its answer has them, as JMESPath."""
    parameters: dict[Name, Annotated[str, Field(max_length=2_000)]] = Field(default_factory=dict)
    """Further parameters of the list, such as `sort: id`; secrets belong into `auth`."""
    pagination: ApiPagination = Field(default_factory=ApiPagination)
    """How the API cuts its list into pages."""


class GraphqlSource(ApiAccess):
    """Tenants behind a GraphQL API, as a Relay connection. `api_base_url` is the endpoint."""

    query_file: Name
    """File with the query of the list, relative to the project."""
    variables: dict[Name, Any] = Field(default_factory=dict)
    """Values of its variables; size, cursor and filters are added."""
    connection: Expression = "tenants"
    """Where `data` has the connection (`nodes` or `edges`, and `pageInfo`), as JMESPath."""
    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Tenants that are asked for at a time."""
    size_variable: Name = "first"
    """Variable that holds the size."""
    cursor_variable: Name = "after"
    """Variable that holds the cursor."""
    total: Expression | None = None
    """Where the connection says how many tenants there are, such as `totalCount`, where it does so exactly."""
    tenant_query_file: Name | None = None
    """File with the query of one tenant, relative to the project; without it the list is looked through."""
    tenant_variable: Name = "tenant_id"
    """Its variable for the tenant's id."""
    tenant: Expression = "tenant"
    """Where its `data` has the record, as JMESPath."""
    config: Expression | None = None
    """Where a record has the tenant's settings, as JMESPath; null: there are none."""
