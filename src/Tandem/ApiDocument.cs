using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.AspNetCore.Mvc.Infrastructure;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Tandem.Core.Http;

namespace Tandem;

/// <summary>Completes what the framework says about each endpoint: who may call it, every problem it answers with, and its headers.</summary>
static partial class ApiDocument
{
    public const string Name = "v1";

    const string ProblemSchema = "Problem";
    const string ProblemType = "application/problem+json";

    /// <summary>Problems that many endpoints share, by the name of their response.</summary>
    static readonly (string Name, Problem Problem)[] Shared =
    [
        ("Unauthorized", HttpProblems.Unauthorized), ("Forbidden", HttpProblems.Forbidden), ("Invalid", HttpProblems.Invalid),
        ("TooLarge", HttpProblems.TooLarge), ("UnsupportedMediaType", HttpProblems.UnsupportedMediaType),
        ("TooManyRequests", HttpProblems.TooManyRequests), ("Unavailable", HttpProblems.Unavailable),
    ];

    public static void Configure(OpenApiOptions options)
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.AddSchemaTransformer(ApplyRules);
        options.AddOperationTransformer(DescribeAsync);
        options.AddDocumentTransformer(Complete);
    }

    static async Task DescribeAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        foreach (var describe in context.Description.ActionDescriptor.EndpointMetadata.OfType<DescribeOperation>())
            await describe(operation, context, ct);
    }

    /// <summary>The framework looks at some of a property's annotations; those of a record stand at its constructor's parameters just as well.</summary>
    static Task ApplyRules(OpenApiSchema schema, OpenApiSchemaTransformerContext context, CancellationToken ct)
    {
        if (schema.Type is null && schema.Enum is { Count: > 0 } choices && choices.All(c => c?.GetValueKind() == JsonValueKind.String))
            schema.Type = JsonSchemaType.String;
        if (context.JsonPropertyInfo is { } property)
            SchemaRules.Apply(schema, JsonFaults.Rules(property));
        else if (context.ParameterDescription?.ParameterDescriptor is IParameterInfoParameterDescriptor { ParameterInfo: { } parameter })
            SchemaRules.Apply(schema, parameter.GetCustomAttributes<ValidationAttribute>(true));
        return Task.CompletedTask;
    }

    static Task Complete(OpenApiDocument document, OpenApiDocumentTransformerContext context, CancellationToken ct)
    {
        document.Info = new OpenApiInfo
        {
            Title = "Tandem",
            Version = TandemApp.Version,
            Description = "Endpoints with a lock want a token: press Authorize and sign in, or send `Authorization: Bearer` with a token from `POST /token`. "
                + "Every error is RFC 9457 `application/problem+json`; its `type` is a stable code.",
        };
        AddComponents(document);
        foreach (var description in context.DescriptionGroups.SelectMany(g => g.Items))
            if (Find(document, description) is { } operation)
                Complete(document, operation, description);
        return Task.CompletedTask;
    }

    static OpenApiOperation? Find(OpenApiDocument document, ApiDescription description) =>
        description.HttpMethod is { } method && document.Paths.TryGetValue(PathOf(description), out var path)
            ? path.Operations?.GetValueOrDefault(new HttpMethod(method))
            : null;

    /// <summary>/items/{id} for items/{id:long}.</summary>
    static string PathOf(ApiDescription description) => "/" + RouteParameter().Replace(description.RelativePath ?? "", "{$1}").TrimEnd('/');

    static void Complete(OpenApiDocument document, OpenApiOperation operation, ApiDescription description)
    {
        var metadata = description.ActionDescriptor.EndpointMetadata;
        operation.OperationId ??= NotInName().Replace($"{description.HttpMethod?.ToLowerInvariant()}{PathOf(description)}", "_").Trim('_');
        if (PathOf(description) == "/token" && operation.RequestBody is null)
            operation.RequestBody = TokenForm();

        // What the endpoint takes out of its path by itself, the framework does not see.
        foreach (Match parameter in RouteParameter().Matches(description.RelativePath ?? ""))
            if (parameter.Groups[1].Value is var name && operation.Parameters?.Any(p => p.In == ParameterLocation.Path && p.Name == name) != true)
                (operation.Parameters ??= []).Add(new OpenApiParameter
                {
                    Name = name,
                    In = ParameterLocation.Path,
                    Required = true,
                    Schema = new OpenApiSchema { Type = JsonSchemaType.String },
                });

        if (metadata.OfType<IdempotencyKey.Mark>().Any())
            (operation.Parameters ??= []).Add(new OpenApiParameter
            {
                Name = IdempotencyKey.Header,
                In = ParameterLocation.Header,
                Description = "Drawn by the client, a UUID say: a repetition with the same key and body gets the first answer, and nothing happens twice.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = 255 },
            });

        var responses = operation.Responses ??= [];
        foreach (var group in metadata.OfType<Problem>().GroupBy(p => p.Status))
            responses.TryAdd(Key(group.Key), Answer(document, [.. group.DistinctBy(p => p.Code)]));
        OpenApiSecurityRequirement[] token =
        [
            new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("password", document)] = [] },
            new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("bearer", document)] = [] },
        ];
        if (metadata.OfType<IAllowAnonymous>().Any())
            // Open to anyone, and yet it may ask for a token: then both with and without one is right.
            operation.Security = metadata.Contains(HttpProblems.Unauthorized) ? [new OpenApiSecurityRequirement(), .. token] : [];
        else
        {
            operation.Security = token;
            Refer("Unauthorized");
            foreach (var requirement in metadata.OfType<AccessRequirement>())
            {
                Refer("Forbidden");
                var who = requirement.Scope is { } scope ? $"Administrators, and tokens with the scope `{scope}`." : "Administrators only.";
                operation.Description = string.IsNullOrEmpty(operation.Description) ? who : $"{operation.Description}\n\n{who}";
            }
        }

        var takesBody = operation.RequestBody is not null;
        if (takesBody || operation.Parameters?.Any(p => p.In is ParameterLocation.Query or ParameterLocation.Header || IsChecked(p)) == true)
            Refer("Invalid");
        if (takesBody)
        {
            Refer("TooLarge");
            Refer("UnsupportedMediaType");
        }

        Refer("TooManyRequests");
        Refer("Unavailable");
        if (metadata.OfType<Paging.Mark>().Any() && responses.GetValueOrDefault("200") is OpenApiResponse page)
            page.Headers = new Dictionary<string, IOpenApiHeader>(page.Headers ?? new Dictionary<string, IOpenApiHeader>())
            {
                ["X-Total-Count"] = new OpenApiHeader { Description = "How many there are in all.", Schema = new OpenApiSchema { Type = JsonSchemaType.Integer } },
                ["Link"] = new OpenApiHeader { Description = "The pages around this one (RFC 8288): first, prev, next, last.", Schema = new OpenApiSchema { Type = JsonSchemaType.String } },
            };

        void Refer(string name) =>
            responses.TryAdd(Key(Shared.First(s => s.Name == name).Problem.Status), new OpenApiResponseReference(name, document));

        // A number whose route takes only numbers is a 404 when it is none; the others are bound, and checked, by the handler.
        bool IsChecked(IOpenApiParameter parameter) => parameter.In == ParameterLocation.Path
            && description.RelativePath?.Contains($"{{{parameter.Name}}}", StringComparison.Ordinal) == true
            && (parameter.Schema?.Type is not JsonSchemaType.String || parameter.Schema.MaxLength is not null || parameter.Schema.Pattern is not null || parameter.Schema.Format is not null);
    }

    static string Key(int status) => status.ToString(System.Globalization.CultureInfo.InvariantCulture);

    static void AddComponents(OpenApiDocument document)
    {
        document.AddComponent(ProblemSchema, new OpenApiSchema
        {
            Type = JsonSchemaType.Object,
            Description = "RFC 9457.",
            Properties = new Dictionary<string, IOpenApiSchema>
            {
                ["type"] = Text("A stable code: users/email-taken."),
                ["title"] = Text("The status in words."),
                ["status"] = new OpenApiSchema { Type = JsonSchemaType.Integer, Format = "int32" },
                ["detail"] = Text("What happened, and what to do next."),
                ["errors"] = new OpenApiSchema
                {
                    Type = JsonSchemaType.Object,
                    Description = "With 422: messages by the name of the field.",
                    AdditionalProperties = new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.String } },
                },
                ["trace_id"] = Text("Finds the request in the log."),
            },
            Required = new HashSet<string> { "type", "title", "status", "detail", "trace_id" },
        });
        document.AddComponent<IOpenApiSecurityScheme>("password", new OpenApiSecurityScheme
        {
            Type = SecuritySchemeType.OAuth2,
            Description = "Sign in with e-mail and password.",
            Flows = new OpenApiOAuthFlows
            {
                Password = new OpenApiOAuthFlow
                {
                    TokenUrl = new Uri("/token", UriKind.Relative),
                    RefreshUrl = new Uri("/token", UriKind.Relative),
                    Scopes = new Dictionary<string, string>(),
                },
            },
        });
        document.AddComponent<IOpenApiSecurityScheme>("bearer", new OpenApiSecurityScheme
        {
            Type = SecuritySchemeType.Http,
            Scheme = "bearer",
            BearerFormat = "JWT",
            Description = "A token from POST /token.",
        });
        foreach (var (name, problem) in Shared)
            document.AddComponent<IOpenApiResponse>(name, Answer(document, [problem]));
    }

    static OpenApiSchema Text(string description) => new() { Type = JsonSchemaType.String, Description = description };

    static OpenApiResponse Answer(OpenApiDocument document, IReadOnlyList<Problem> problems) => new()
    {
        Description = string.Join("\n\n", problems.Select(p => $"`{p.Code}`: {p.Detail}")),
        Content = new Dictionary<string, OpenApiMediaType> { [ProblemType] = new() { Schema = new OpenApiSchemaReference(ProblemSchema, document) } },
        Headers = problems[0].Status switch
        {
            401 => One("WWW-Authenticate", "RFC 6750: Bearer, with error=\"invalid_token\" when there was one.", JsonSchemaType.String),
            429 or 503 => One("Retry-After", "Seconds until it is worth trying again.", JsonSchemaType.Integer),
            _ => null,
        },
    };

    static Dictionary<string, IOpenApiHeader> One(string name, string description, JsonSchemaType type) =>
        new() { [name] = new OpenApiHeader { Description = description, Schema = new OpenApiSchema { Type = type } } };

    /// <summary>The endpoint reads its form itself, as the protocol (RFC 6749) asks.</summary>
    static OpenApiRequestBody TokenForm() => new()
    {
        Required = true,
        Content = new Dictionary<string, OpenApiMediaType>
        {
            ["application/x-www-form-urlencoded"] = new()
            {
                Schema = new OpenApiSchema
                {
                    Type = JsonSchemaType.Object,
                    Description = "username and password; or grant_type=refresh_token with a refresh_token, urn:tandem:email-code and urn:tandem:second-step with handle and code, "
                        + "urn:tandem:email-link with token, urn:tandem:passkey with handle and credential.",
                    Properties = new Dictionary<string, IOpenApiSchema>
                    {
                        ["grant_type"] = new OpenApiSchema { Type = JsonSchemaType.String, Enum = ["password", "refresh_token", "urn:tandem:email-code", "urn:tandem:email-link", "urn:tandem:second-step", "urn:tandem:passkey"], Default = "password" },
                        ["username"] = Text("The e-mail."),
                        ["password"] = new OpenApiSchema { Type = JsonSchemaType.String, Format = "password" },
                        ["refresh_token"] = Text("From an earlier answer; it is exchanged once."),
                        ["handle"] = Text("From POST /auth/code, from the answer that wants a second step, or from POST /auth/passkey/options."),
                        ["code"] = Text("From the mail; of a second step from the authenticator app, or a recovery code."),
                        ["credential"] = Text("What navigator.credentials.get() gave, as JSON."),
                        ["token"] = Text("From the link of the mail."),
                    },
                },
            },
        },
    };

    [GeneratedRegex(@"\{\*{0,2}([^}:?=]+)[^}]*\}")]
    private static partial Regex RouteParameter();

    [GeneratedRegex("[^a-z0-9]+", RegexOptions.IgnoreCase)]
    private static partial Regex NotInName();
}
