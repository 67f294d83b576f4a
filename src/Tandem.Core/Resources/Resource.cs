using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Data;

namespace Tandem.Core.Resources;

/// <summary>
/// A record type as an API of its own: create, list, get, patch, replace and delete, validated from its types and annotations, kept in a
/// table the program makes, with an event for every change.
/// </summary>
/// <typeparam name="T">
/// A record or class. Properties may be strings, booleans, numbers, times, dates, UUIDs, enumerations, nullable ones of these, and nested
/// records and lists, which are stored as JSON and not filtered by.
/// </typeparam>
/// <remarks>
/// Its endpoints want a bearer token; the usual conventions change that: <c>app.Resource&lt;Item&gt;("/items").AllowAnonymous()</c>. The events
/// are <c>items.created</c>, <c>items.changed</c> and <c>items.deleted</c> with the payload <c>{"id": 1, "item": {…}}</c>.
/// </remarks>
public sealed class Resource<T> : Module, IEndpointConventionBuilder where T : class
{
    readonly string _path;
    readonly ResourceTable _table;
    readonly Shape _shape;
    readonly List<Action<EndpointBuilder>> _conventions = [];
    readonly List<Action<EndpointBuilder>> _finally = [];

    /// <param name="path">Where it is: <c>/items</c> or <c>/shop/items</c>; lower-case letters, digits and dashes.</param>
    /// <exception cref="ConfigurationException">The path or the type cannot be a resource; the message says why.</exception>
    public Resource(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!IsPath(path))
            throw new ConfigurationException($"\"{path}\" cannot be the path of a resource: write it like /items or /shop/order-lines.");
        _path = path;
        Name = path[1..].Replace('/', '-');
        _shape = new Shape(typeof(T));
        _table = new ResourceTable(_shape, Name);
    }

    /// <summary>The path without its first slash, dashes for the others: the role, and the first part of its events' names.</summary>
    public override string Name { get; }

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        var group = routes.MapGroup(_path).WithTags(Title(Name));
        foreach (var convention in _conventions)
            ((IEndpointConventionBuilder)group).Add(convention);
        foreach (var convention in _finally)
            ((IEndpointConventionBuilder)group).Finally(convention);
        var services = routes.ServiceProvider;
        new ResourceEndpoints(_path, _shape, _table, services.GetRequiredService<Db>(), services.GetRequiredService<TimeProvider>()).Map(group);
    }

    /// <summary>Applies a convention to all of its endpoints.</summary>
    public void Add(Action<EndpointBuilder> convention) => _conventions.Add(convention);

    /// <summary>Applies a convention after all others.</summary>
    public void Finally(Action<EndpointBuilder> finallyConvention) => _finally.Add(finallyConvention);

    /// <summary>The same for the endpoints that only read: <c>Reading(r =&gt; r.AllowAnonymous())</c> lets anyone look.</summary>
    public Resource<T> Reading(Action<IEndpointConventionBuilder> configure) => Only(configure, reading: true);

    /// <summary>The same for the endpoints that change something: <c>Writing(w =&gt; w.RequireScope("items:write"))</c>.</summary>
    public Resource<T> Writing(Action<IEndpointConventionBuilder> configure) => Only(configure, reading: false);

    Resource<T> Only(Action<IEndpointConventionBuilder> configure, bool reading)
    {
        ArgumentNullException.ThrowIfNull(configure);
        configure(new Part(this, reading));
        return this;
    }

    internal override string MissingSchema(Schema schema) => _table.MissingSchema(schema);

    static string Title(string name) => char.ToUpperInvariant(name[0]) + name[1..].Replace('-', ' ');

    // Without the library for regular expressions, which a program at rest has no other use for.
    static bool IsPath(string path) =>
        path.StartsWith('/') && path[1..].Split('/').All(p => p is [>= 'a' and <= 'z', ..] && p.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-'));

    sealed class Part(Resource<T> resource, bool reading) : IEndpointConventionBuilder
    {
        public void Add(Action<EndpointBuilder> convention) => resource.Add(OnlyHere(convention));

        public void Finally(Action<EndpointBuilder> finallyConvention) => resource.Finally(OnlyHere(finallyConvention));

        Action<EndpointBuilder> OnlyHere(Action<EndpointBuilder> convention) => endpoint =>
        {
            if (endpoint.Metadata.OfType<HttpMethodMetadata>().Any(m => m.HttpMethods.Contains(HttpMethods.Get)) == reading)
                convention(endpoint);
        };
    }
}
