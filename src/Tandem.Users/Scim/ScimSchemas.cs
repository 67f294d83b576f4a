using System.Text.Json.Nodes;

namespace Tandem.Users.Scim;

/// <summary>What SCIM says of itself (RFC 7643, 5 to 7), with the attributes that are kept and no others.</summary>
static class ScimSchemas
{
    const string SchemaUrn = "urn:ietf:params:scim:schemas:core:2.0:Schema";
    const string TypeUrn = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

    public static JsonObject Config(string address) => new()
    {
        ["schemas"] = new JsonArray("urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"),
        ["patch"] = Supported(true),
        ["bulk"] = new JsonObject { ["supported"] = false, ["maxOperations"] = 0, ["maxPayloadSize"] = 0 },
        ["filter"] = new JsonObject { ["supported"] = true, ["maxResults"] = ScimEndpoints.MaxCount },
        ["changePassword"] = Supported(true),
        ["sort"] = Supported(true),
        ["etag"] = Supported(true),
        ["authenticationSchemes"] = new JsonArray(new JsonObject
        {
            ["type"] = "oauthbearertoken",
            ["name"] = "API key",
            ["description"] = "An API key with the scope scim, as a bearer token.",
            ["specUri"] = "https://www.rfc-editor.org/info/rfc6750",
            ["primary"] = true,
        }),
        ["meta"] = new JsonObject { ["resourceType"] = "ServiceProviderConfig", ["location"] = $"{address}/ServiceProviderConfig" },
    };

    public static List<JsonObject> Types(string address) => [Type("User", "/Users", ScimAttributes.UserUrn, address), Type("Group", "/Groups", ScimAttributes.GroupUrn, address)];

    public static List<JsonObject> All(string address) =>
    [
        Schema(ScimAttributes.UserUrn, "User", "An account", address,
            Attribute("userName", "The e-mail that the person signs in with.", isRequired: true, uniqueness: "server"),
            Complex("name", "The parts of the name.", isList: false, "readWrite",
                Attribute("formatted", "The whole name."), Attribute("familyName", "The family name."), Attribute("givenName", "The given name.")),
            Attribute("displayName", "What the person is called here. Left out, it is made of name."),
            Attribute("active", "False: it cannot sign in, and its sessions have ended.", "boolean"),
            Attribute("password", "Never answered.", mutability: "writeOnly", returned: "never", caseExact: true),
            Complex("emails", "As the directory has them; nobody signs in with these.", isList: true, "readWrite",
                Attribute("value", "The address."), Attribute("type", "Such as work."), Attribute("primary", "The one to write to.", "boolean")),
            Complex("groups", "Where the person is a member.", isList: true, "readOnly",
                Attribute("value", "The id of the group.", mutability: "readOnly", caseExact: true), Reference("Group"),
                Attribute("display", "Its displayName.", mutability: "readOnly"), Attribute("type", "direct.", mutability: "readOnly"))),
        Schema(ScimAttributes.GroupUrn, "Group", "A group of accounts", address,
            Attribute("displayName", "The name.", isRequired: true, uniqueness: "server"),
            Complex("members", "Users.", isList: true, "readWrite",
                Attribute("value", "The id of the user.", mutability: "immutable", caseExact: true), Reference("User"),
                Attribute("display", "Its displayName.", mutability: "readOnly"), Attribute("type", "User.", mutability: "immutable"))),
    ];

    static JsonObject Supported(bool value) => new() { ["supported"] = value };

    static JsonObject Type(string name, string endpoint, string schema, string address) => new()
    {
        ["schemas"] = new JsonArray(TypeUrn),
        ["id"] = name,
        ["name"] = name,
        ["endpoint"] = endpoint,
        ["schema"] = schema,
        ["schemaExtensions"] = new JsonArray(),
        ["meta"] = new JsonObject { ["resourceType"] = "ResourceType", ["location"] = $"{address}/ResourceTypes/{name}" },
    };

    static JsonObject Schema(string id, string name, string description, string address, params JsonNode[] attributes) => new()
    {
        ["schemas"] = new JsonArray(SchemaUrn),
        ["id"] = id,
        ["name"] = name,
        ["description"] = description,
        ["attributes"] = new JsonArray(attributes),
        ["meta"] = new JsonObject { ["resourceType"] = "Schema", ["location"] = $"{address}/Schemas/{id}" },
    };

    static JsonObject Attribute(string name, string description, string type = "string", bool isRequired = false, string mutability = "readWrite", string returned = "default", string uniqueness = "none", bool caseExact = false)
    {
        var attribute = new JsonObject { ["name"] = name, ["type"] = type, ["multiValued"] = false, ["description"] = description, ["required"] = isRequired };
        if (type == "string")
            attribute["caseExact"] = caseExact;
        (attribute["mutability"], attribute["returned"], attribute["uniqueness"]) = (mutability, returned, uniqueness);
        return attribute;
    }

    static JsonObject Reference(string to)
    {
        var attribute = Attribute("$ref", "Its address.", "reference", mutability: to == "User" ? "immutable" : "readOnly");
        (attribute["referenceTypes"], attribute["caseExact"]) = (new JsonArray(to), true);
        return attribute;
    }

    static JsonObject Complex(string name, string description, bool isList, string mutability, params JsonNode[] parts) => new()
    {
        ["name"] = name,
        ["type"] = "complex",
        ["multiValued"] = isList,
        ["description"] = description,
        ["required"] = false,
        ["subAttributes"] = new JsonArray(parts),
        ["mutability"] = mutability,
        ["returned"] = "default",
        ["uniqueness"] = "none",
    };
}
