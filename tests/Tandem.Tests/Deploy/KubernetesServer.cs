using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Tandem.Tests.Deploy;

/// <summary>As much of a Kubernetes API server as kubectl needs to apply, restart and wait: objects are kept as they come, and are ready at once.</summary>
sealed class KubernetesServer : IAsyncDisposable
{
    static readonly (string Group, string Resource, string Kind)[] Resources =
    [
        ("v1", "serviceaccounts", "ServiceAccount"),
        ("v1", "services", "Service"),
        ("apps/v1", "deployments", "Deployment"),
        ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
        ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
        ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ];

    readonly TaskCompletionSource _stopping = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly WebApplication _app;

    KubernetesServer(WebApplication app, string directory) => (_app, Directory) = (app, directory);

    /// <summary>A directory of this server's own; <see cref="Configuration"/> is in it.</summary>
    public string Directory { get; }

    /// <summary>The kubeconfig that leads here, and nowhere else.</summary>
    public string Configuration => Path.Combine(Directory, "config");

    /// <summary>What is stored, by its path: <c>/apis/apps/v1/namespaces/shop/deployments/users</c>.</summary>
    public ConcurrentDictionary<string, JsonObject> Objects { get; } = [];

    /// <summary>The patches that came, in order.</summary>
    public ConcurrentQueue<(string Path, JsonObject Patch)> Patches { get; } = [];

    /// <summary>How strictly the objects made were to be checked.</summary>
    public ConcurrentQueue<string> Validations { get; } = [];

    /// <summary>Refuses every change with 403.</summary>
    public bool Forbids { get; set; }

    public static async Task<KubernetesServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var directory = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        System.IO.Directory.CreateDirectory(directory);
        var server = new KubernetesServer(builder.Build(), directory);
        server._app.Run(server.AnswerAsync);
        await server._app.StartAsync();
        await File.WriteAllTextAsync(server.Configuration, $$"""
            apiVersion: v1
            kind: Config
            current-context: test
            clusters: [{ name: test, cluster: { server: "{{server._app.Urls.First()}}" } }]
            users: [{ name: test, user: {} }]
            contexts: [{ name: test, context: { cluster: test, user: test, namespace: shop } }]
            """);
        return server;
    }

    public void AddDeployment(string @namespace, string name, params (string Name, string Image)[] containers) =>
        Store($"/apis/apps/v1/namespaces/{@namespace}/deployments/{name}", new JsonObject
        {
            ["apiVersion"] = "apps/v1",
            ["kind"] = "Deployment",
            ["metadata"] = new JsonObject { ["name"] = name, ["namespace"] = @namespace },
            ["spec"] = new JsonObject
            {
                ["selector"] = new JsonObject { ["matchLabels"] = new JsonObject { ["app"] = name } },
                ["template"] = new JsonObject
                {
                    ["metadata"] = new JsonObject { ["labels"] = new JsonObject { ["app"] = name } },
                    ["spec"] = new JsonObject { ["containers"] = new JsonArray([.. containers.Select(c => new JsonObject { ["name"] = c.Name, ["image"] = c.Image })]) },
                },
            },
        });

    public async ValueTask DisposeAsync()
    {
        _stopping.SetResult();
        await _app.DisposeAsync();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    JsonObject Store(string path, JsonObject value)
    {
        var metadata = value["metadata"]!.AsObject();
        metadata["resourceVersion"] = "1";
        metadata["generation"] = 1;
        metadata["uid"] = Guid.NewGuid().ToString();
        if (value["kind"]!.GetValue<string>() == "Deployment")
            value["status"] = new JsonObject { ["observedGeneration"] = 1, ["replicas"] = 1, ["updatedReplicas"] = 1, ["readyReplicas"] = 1, ["availableReplicas"] = 1 };
        return Objects[path] = value;
    }

    async Task AnswerAsync(HttpContext context)
    {
        var (path, method) = (context.Request.Path.Value!, context.Request.Method);
        if (Discovery(path) is { } discovery)
            await SendAsync(context, 200, discovery);
        else if (path.StartsWith("/api/v1/namespaces/", StringComparison.Ordinal) && path.Split('/') is [.., "namespaces", var name])
            await SendAsync(context, 200, new JsonObject { ["apiVersion"] = "v1", ["kind"] = "Namespace", ["metadata"] = new JsonObject { ["name"] = name } });
        else if (Forbids && method != "GET")
            await FailAsync(context, 403, "Forbidden", "changes are not allowed to this user");
        else if (method == "POST")
        {
            Validations.Enqueue(context.Request.Query["fieldValidation"].ToString());
            var body = await BodyAsync(context);
            await SendAsync(context, 201, Store($"{path}/{body["metadata"]!["name"]}", body));
        }
        else if (method == "GET" && context.Request.Query["fieldSelector"].FirstOrDefault() is { } selector)
            await ListAsync(context, $"{path}/{selector["metadata.name=".Length..]}");
        else if (!Objects.TryGetValue(path, out var found))
            await FailAsync(context, 404, "NotFound", $"\"{path.Split('/')[^1]}\" not found");
        else if (method == "PATCH")
        {
            Patches.Enqueue((path, await BodyAsync(context)));
            await SendAsync(context, 200, found);
        }
        else
            await SendAsync(context, 200, found);
    }

    /// <summary>What <c>rollout status</c> asks for: the list, then news of it, of which there is none.</summary>
    async Task ListAsync(HttpContext context, string path)
    {
        if (context.Request.Query.ContainsKey("sendInitialEvents"))
            await FailAsync(context, 422, "Invalid", "sendInitialEvents is not supported");
        else if (context.Request.Query["watch"].Count > 0)
        {
            await context.Response.StartAsync();
            await context.Response.Body.FlushAsync();
            await _stopping.Task.WaitAsync(context.RequestAborted);
        }
        else
            await SendAsync(context, 200, new JsonObject
            {
                ["apiVersion"] = "apps/v1",
                ["kind"] = "DeploymentList",
                ["metadata"] = new JsonObject { ["resourceVersion"] = "1" },
                ["items"] = Objects.TryGetValue(path, out var found) ? new JsonArray(found.DeepClone()) : [],
            });
    }

    static JsonObject? Discovery(string path) => path switch
    {
        // kubectl leaves checking to a server that says, for each kind, that it can.
        "/openapi/v3" => new JsonObject
        {
            ["paths"] = new JsonObject(Resources.Select(r => r.Group).Distinct().Select(g =>
                KeyValuePair.Create<string, JsonNode?>(Root(g)[1..], new JsonObject { ["serverRelativeURL"] = "/openapi/v3" + Root(g) }))),
        },
        _ when path.StartsWith("/openapi/v3/", StringComparison.Ordinal) => new JsonObject
        {
            ["openapi"] = "3.0.0",
            ["paths"] = new JsonObject(Resources.Where(r => path == "/openapi/v3" + Root(r.Group)).Select(Validated)),
        },
        "/api" => new JsonObject { ["kind"] = "APIVersions", ["versions"] = new JsonArray("v1") },
        "/apis" => new JsonObject
        {
            ["kind"] = "APIGroupList",
            ["apiVersion"] = "v1",
            ["groups"] = new JsonArray([.. Resources.Select(r => r.Group).Where(g => g.Contains('/')).Distinct().Select(Group)]),
        },
        _ when Resources.Where(r => path == Root(r.Group)).ToList() is { Count: > 0 } resources => new JsonObject
        {
            ["kind"] = "APIResourceList",
            ["apiVersion"] = "v1",
            ["groupVersion"] = resources[0].Group,
            ["resources"] = new JsonArray([.. resources.Select(Resource)]),
        },
        _ => null,
    };

    static string Root(string group) => (group.Contains('/') ? "/apis/" : "/api/") + group;

    static KeyValuePair<string, JsonNode?> Validated((string Group, string Resource, string Kind) resource) => new($"{Root(resource.Group)}/namespaces/{{namespace}}/{resource.Resource}/{{name}}", new JsonObject
    {
        ["patch"] = new JsonObject
        {
            ["parameters"] = new JsonArray(new JsonObject { ["name"] = "fieldValidation", ["in"] = "query" }),
            ["x-kubernetes-group-version-kind"] = new JsonObject
            {
                ["group"] = resource.Group.Contains('/') ? resource.Group.Split('/')[0] : "",
                ["version"] = resource.Group.Split('/')[^1],
                ["kind"] = resource.Kind,
            },
        },
    });

    static JsonObject Group(string group)
    {
        JsonObject Version() => new() { ["groupVersion"] = group, ["version"] = group.Split('/')[1] };
        return new JsonObject { ["name"] = group.Split('/')[0], ["versions"] = new JsonArray(Version()), ["preferredVersion"] = Version() };
    }

    static JsonObject Resource((string Group, string Resource, string Kind) resource) => new()
    {
        ["name"] = resource.Resource,
        ["singularName"] = resource.Kind.ToLowerInvariant(),
        ["namespaced"] = true,
        ["kind"] = resource.Kind,
        ["verbs"] = new JsonArray("create", "get", "list", "patch", "watch"),
    };

    static async Task<JsonObject> BodyAsync(HttpContext context) => (await JsonNode.ParseAsync(context.Request.Body))!.AsObject();

    static Task FailAsync(HttpContext context, int status, string reason, string message) => SendAsync(context, status, new JsonObject
    {
        ["kind"] = "Status",
        ["apiVersion"] = "v1",
        ["status"] = "Failure",
        ["message"] = message,
        ["reason"] = reason,
        ["code"] = status,
    });

    static Task SendAsync(HttpContext context, int status, JsonObject body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(body.ToJsonString());
    }
}
