using System.Net;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Tandem.Backup;
using Tandem.Core;
using Tandem.Core.Adapters;
using Tandem.Core.Backplane;
using Tandem.Core.Backup;
using Tandem.Core.Configuration;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Files;
using Tandem.Core.Http;
using Tandem.Core.Jobs;
using Tandem.Core.Resources;
using Tandem.Gateway;
using Tandem.Gateway.Forwarding;
using Tandem.Inference;
using Tandem.Realtime;
using Tandem.Reports;
using Tandem.Roles;
using Tandem.Transport;
using Tandem.Users;

namespace Tandem;

/// <summary>A whole backend in one program: the built-in modules, the embedded stores, and whatever the program adds.</summary>
/// <example><code>
/// var app = TandemApp.Create(args);
/// app.Resource&lt;Item&gt;("/items");
/// app.MapGet("/hello", () =&gt; "Hello from here").AllowAnonymous();
/// return await app.RunAsync();
/// </code></example>
public sealed class TandemApp : IEndpointRouteBuilder, IStoreHost, IAsyncDisposable
{
    readonly List<Module> _modules = [];
    readonly List<StoreAdapter> _adapters = [];
    readonly List<EndpointDataSource> _dataSources = [];
    readonly List<string> _stores = [];
    readonly LateServices _late = new();
    readonly ProgramArguments _arguments;
    readonly WebApplicationBuilder _builder;
    readonly Parts _parts;
    readonly ServerOptions _server;
    WebApplication? _app;
    FileStream? _serveLock;
    bool _isDisposed;

    TandemApp(string[] args)
    {
        _arguments = ProgramArguments.Read(args);
        _builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Tandem", ContentRootPath = Environment.CurrentDirectory });
        var sources = ConfigurationSources.Read(_arguments.Settings);
        _builder.Configuration.AddConfiguration(sources.All);
        _parts = new Parts(new Settings(sources));
        _server = ServerOptions.Read(sources.All);
        _modules.AddRange([new GatewayModule(), new UsersModule(), new InferenceModule(), new ReportsModule(), new RealtimeModule()]);
    }

    /// <summary>A program with the built-in modules.</summary>
    /// <param name="args">The command line: a command with its options, settings as <c>--Section:Key value</c>, <c>--urls</c>, <c>--data</c>, <c>--roles</c>.</param>
    /// <remarks>Settings come from <c>appsettings.json</c>, <c>tandem.json</c>, <c>TANDEM_…</c> in the environment and the command line; the later wins.</remarks>
    public static TandemApp Create(string[] args)
    {
        ArgumentNullException.ThrowIfNull(args);
        try
        {
            return new TandemApp(args);
        }
        catch (ConfigurationException e) when (Console.Error is { } error && Environment.GetCommandLineArgs()[1..].SequenceEqual(args))
        {
            // The program itself was called with these: its user gets a sentence, not a stack trace.
            error.WriteLine($"tandem: {e.Message}");
            Environment.Exit(2);
            throw;
        }
    }

    /// <summary>The container's registrations, for the program's own services.</summary>
    public IServiceCollection Services => _builder.Services;

    /// <summary>The addresses the started program listens on.</summary>
    public IReadOnlyCollection<string> Urls => [.. Started.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses ?? []];

    /// <summary>Adds a module.</summary>
    public TandemApp Add<TModule>() where TModule : Module, new() => Add(new TModule());

    /// <summary>Adds a module.</summary>
    public TandemApp Add(Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        _modules.Add(module);
        return this;
    }

    /// <summary>Adds a command to the program's command line.</summary>
    /// <param name="make">Called only when a command line is read; what it is given runs work on the stores.</param>
    public TandemApp Command(Func<ICommandHost, System.CommandLine.Command> make)
    {
        ArgumentNullException.ThrowIfNull(make);
        _parts.Commands.Add(make);
        return this;
    }

    /// <summary>Makes <typeparamref name="T"/> an API of its own: create, list, get, patch, replace and delete under <paramref name="path"/>.</summary>
    /// <param name="path">Where: <c>/items</c>.</param>
    /// <returns>The resource, to open or close it: <c>.AllowAnonymous()</c>, <c>.RequireScope("items:write")</c>.</returns>
    /// <exception cref="ConfigurationException">The path or the type cannot be a resource, or the path is taken; the message says why.</exception>
    public Resource<T> Resource<T>(string path) where T : class
    {
        var resource = new Resource<T>(path);
        if (_modules.Any(m => m.Name == resource.Name))
            throw new ConfigurationException($"There is a module or resource named {resource.Name} already; give the resource {path} another path.");
        Add(resource);
        return resource;
    }

    void IStoreHost.Use(StoreAdapter adapter) => _adapters.Add(adapter);

    IServiceProvider IEndpointRouteBuilder.ServiceProvider => _late;
    ICollection<EndpointDataSource> IEndpointRouteBuilder.DataSources => _dataSources;
    IApplicationBuilder IEndpointRouteBuilder.CreateApplicationBuilder() => new ApplicationBuilder(_late);

    WebApplication Started => _app ?? throw new InvalidOperationException("The program has not been started yet.");

    /// <summary>Does what the command line says: serves until it is stopped, or runs a command.</summary>
    /// <returns>The exit code: 0 done, 1 failed, 2 wrong use.</returns>
    public Task<int> RunAsync() => CommandLine.RunAsync(this, _arguments.Words);

    /// <summary>Starts serving; returns when requests are answered.</summary>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        var http = Register();
        if (!_parts.SharesDatabase)
        {
            _serveLock = TakeServeLock();
            GrownMark.Refuse(_server.Data);
        }

        var app = Build(http, serving: true, migrate: false);
        // Neither needs the other, and each takes a good part of the start.
        var migrated = Task.Run(() => Schema.Complete(app.Services.GetRequiredService<Migrator>(), wait: true), CancellationToken.None);
        try
        {
            Pipeline(app);
        }
        finally
        {
            // A store is not left half way, whatever became of the rest.
            await migrated;
        }

        if (_parts.SharesDatabase && await app.Services.GetRequiredService<StoreTables>().IsHalfCopiedAsync(cancellationToken))
            throw new ConfigurationException("The database holds half of a store: tandem grow was broken off. Run it again; it goes on where it was.");
        await app.StartAsync(cancellationToken);
    }

    /// <summary>Drains (<c>Http:DrainTime</c>), finishes the requests in flight and closes the stores.</summary>
    public async Task StopAsync(CancellationToken cancellationToken = default)
    {
        if (_app is null || _isDisposed)
            return;
        await _app.Services.GetRequiredService<Drain>().RunAsync(cancellationToken);
        await _app.StopAsync(cancellationToken);
    }

    /// <summary>Stops the program if it runs.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_app is not null && !_isDisposed)
            await _app.DisposeAsync();
        _isDisposed = true;
        _serveLock?.Dispose();
    }

    internal ServerOptions Server => _server;

    internal Parts Parts => _parts;

    /// <summary>What the program runs on, the database first.</summary>
    internal IEnumerable<string> StoreNames => _parts.SharesDatabase ? _stores : ["sqlite", .. _stores];

    /// <summary>Every module's name: what <c>--roles</c> can say.</summary>
    internal IReadOnlyList<string> Roles => [.. _modules.Select(m => m.Name)];

    /// <summary>The version of this program, such as 1.2.3.</summary>
    internal static string Version { get; } = System.Reflection.CustomAttributeExtensions.GetCustomAttribute<System.Reflection.AssemblyInformationalVersionAttribute>(typeof(TandemApp).Assembly)
        ?.InformationalVersion.Split('+')[0] ?? "";

    internal IServiceProvider RunningServices => Started.Services;

    internal Task WaitForStopAsync() => Started.WaitForShutdownAsync();

    /// <summary>Reads the settings and lets every module say what it is made of; touches no store yet.</summary>
    internal HttpOptions Register()
    {
        var services = _builder.Services;
        var http = AddCore(services);
        foreach (var adapter in _adapters.OrderByDescending(a => a.IsDatabase))
            if (adapter.Add(new StoreBuilder(adapter, services, _parts)))
            {
                _parts.SharesDatabase |= adapter.IsDatabase;
                _stores.Add(adapter.Name);
            }

        RefuseUnknownRoles();
        foreach (var module in _modules)
            module.Add(new ModuleBuilder(module, services, _parts, _server.Runs(module.Name), _server.Runs(module.Name) || _server.Runs("gateway")));
        if (IsForwarding)
            RoleRoutes.Add(services, _parts.Settings.Get<GatewayOptions>(), AwayRoles, AllRoles);
        Monitoring.Add(_builder, _parts);
        _parts.Settings.RefuseUnknownSections(ServerOptions.Keys);
        return http;
    }

    /// <summary>What the stores are brought to.</summary>
    internal ProgramSchema Schema => new(
        engine => [.. MigratedAssemblies().SelectMany(a => Migrator.Embedded(a.Module, a.Assembly, engine))],
        [.. _modules.Select(m => (Func<Schema, string>)m.MissingSchema)]);

    /// <summary>Makes the container, and brings the stores to the program's schema.</summary>
    /// <param name="migrate">False leaves the stores as they are, for what copies them.</param>
    internal WebApplication Build(HttpOptions http, bool serving, bool migrate = true)
    {
        var services = _builder.Services;
        services.AddSingleton(new LogTarget(IsError: !serving));
        if (!serving)
            // Of a command people want its answer; what went wrong they still see.
            services.PostConfigure<LoggerFilterOptions>(o => o.MinLevel = o.MinLevel < LogLevel.Warning ? LogLevel.Warning : o.MinLevel);
        if (serving)
        {
            services.AddHostedService<EventDispatcher>();
            services.AddHostedService<JobWorker>();
            services.AddHostedService<StoreGauges>();
            services.AddHostedService<IdempotencySweep>();
            services.AddHostedService<JobSweep>();
            services.AddHostedService(p => p.GetRequiredService<Hop>());
            if (IsForwarding)
                services.AddHostedService(p => p.GetRequiredService<DestinationWatch>());
            services.AddSingleton<IHostLifetime, StopSignals>();
        }

        _builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = http.MaxBodyBytes;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        }).UseUrls(_server.Urls).UseShutdownTimeout(http.ShutdownTimeout);
        // With TLS a request's way begins with cryptography, which takes too long for a loop.
        if (EventLoopTransport.IsSupported && !_server.Urls.Contains("https://", StringComparison.OrdinalIgnoreCase))
        {
            services.AddSingleton<IConnectionListenerFactory, EventLoopTransport>();
            services.AddSingleton<IUpstreamTransport, LoopConnector>();
        }

        services.Configure<HostOptions>(o => o.ShutdownTimeout = http.ShutdownTimeout + TimeSpan.FromSeconds(5));
        var app = _app = _builder.Build();
        _late.Services = app.Services;
        if (migrate)
            Schema.Complete(app.Services.GetRequiredService<Migrator>());
        return app;
    }

    IReadOnlyList<(string Module, System.Reflection.Assembly Assembly)> MigratedAssemblies() =>
    [
        ("core", typeof(Module).Assembly),
        .. _modules.Select(m => (m.Name, m.GetType().Assembly)).DistinctBy(m => m.Assembly).Where(m => m.Assembly != typeof(Module).Assembly),
    ];

    HttpOptions AddCore(IServiceCollection services)
    {
        services.AddSingleton(_parts);
        services.AddSingleton(_parts.Consumers);
        services.AddSingleton(_parts.Jobs);
        services.AddSingleton(_server);
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(_ => new DataDirectory(_server.Data));
        services.AddSingleton<IFileStore, DirectoryFiles>();
        services.AddSingleton<StoreTables, SqliteTables>();
        services.AddSingleton<WholeStore>();
        services.AddSingleton(typeof(Signal<>));
        services.AddSingleton<Db, SqliteDb>();
        services.AddSingleton(p => new Lazy<Db>(p.GetRequiredService<Db>));
        services.AddSingleton<IEventLog, TableEventLog>();
        services.AddSingleton<IJobQueue, TableJobQueue>();
        services.AddSingleton<IPersonalData, JobsOfPeople>();
        services.AddSingleton<Outbox>();
        services.AddSingleton(p => new ConsumerProgress(p.GetRequiredService<Db>(), p.GetRequiredService<IEventLog>(), _parts.Consumers, p.GetRequiredService<TimeProvider>()));
        services.AddSingleton<IRateLimits, InProcessRateLimits>();
        services.AddSingleton<SessionEnds>();
        services.AddSingleton<IBackplane, InProcessBackplane>();
        services.AddSingleton<ChecksUnderway>();
        services.AddSingleton<Drain>();
        services.AddSingleton<Hop>();
        services.AddSingleton<Migrator, SqliteMigrator>();
        services.AddHybridCache().AddSerializerFactory<Core.Cache.CacheEntrySerializers>();
        services.AddSingleton(_ => new Core.Cache.CachePeers());
        services.AddSingleton(typeof(Core.Cache.Cache<,>));
        _parts.Settings.Read<EventOptions>(services, "Events");
        _parts.Settings.Read<JobWorkerOptions>(services, "Jobs");
        var http = _parts.Settings.Read<HttpOptions>(services, "Http");
        services.AddRoutingCore();
        ApiDocs.Add(services, _parts.Settings);
        services.Configure<RouteHandlerOptions>(o => o.ThrowOnBadRequest = true);
        services.ConfigureHttpJsonOptions(o => Json.Configure(o.SerializerOptions));
        services.AddAuthorization();
        services.AddSingleton<IAuthorizationMiddlewareResultHandler, ForbiddenProblem>();
        services.AddRequestTimeouts(o => o.DefaultPolicy = new RequestTimeoutPolicy { Timeout = http.RequestTimeout });
        return http;
    }

    void Pipeline(WebApplication app)
    {
        // WebApplication would add these by itself in front of everything; a request that needs no token must not pay for them.
        var properties = ((IApplicationBuilder)app).Properties;
        properties["__AuthenticationMiddlewareSet"] = true;
        properties["__AuthorizationMiddlewareSet"] = true;
        app.UseMiddleware<RequestLog>();
        app.UseMiddleware<Entrance>();
        var (doors, others) = (_modules.OfType<GatewayModule>(), _modules.Where(m => m is not GatewayModule));
        foreach (var module in doors.Where(m => _server.Runs(m.Name)))
            module.Use(app);
        app.Use(Health.AnswerAlive);
        // What stands above never blocks a thread.
        var serving = others.Where(m => _server.Runs(m.Name)).ToList();
        // What a module of the program's user puts in every request's way may block.
        if (!serving.All(m => m is RealtimeModule || m.GetType().GetMethod(nameof(Module.Use))!.DeclaringType == typeof(Module)))
            app.UseMiddleware<OffLoop>((HttpContext _) => false);
        foreach (var module in serving)
            module.Use(app);
        app.UseRouting();
        // What is only sent on waits for nothing but sockets.
        app.UseMiddleware<OffLoop>((HttpContext context) => context.GetEndpoint()?.Metadata is { } of && (of.GetMetadata<StaysOnLoop>() is not null || of.GetMetadata<SentOn>() is not null));
        app.UseRequestTimeouts();
        app.UseMiddleware<EdgeMiddleware>();
        app.UseAuthorization();

        var routes = app.MapGroup("");
        routes.AddEndpointFilterFactory(ValidationFilter.Create);
        ((IEndpointConventionBuilder)routes).Finally(ApiDocs.Include);
        ((IEndpointConventionBuilder)routes).Finally(WholeAnswer.Mark);
        Health.Map(routes);
        Operations.Map(routes);
        ApiDocs.Map(routes);
        Monitoring.Map(routes);
        foreach (var module in _modules)
            if (RoutesOf(routes, module.Name) is { } its)
                module.Map(its);
        if (RoutesOf(routes, RoleRoutes.App) is { } own)
            foreach (var source in _dataSources)
                own.DataSources.Add(source);
        if (IsForwarding)
            RoleRoutes.Check(routes);
    }

    /// <returns>Where a role's endpoints are mapped: to be served, to be forwarded, or null where this process knows nothing of them.</returns>
    IEndpointRouteBuilder? RoutesOf(IEndpointRouteBuilder routes, string role) =>
        _server.Runs(role) ? routes : IsForwarding && AwayRoles.Contains(role) ? RoleRoutes.To(routes, role) : null;

    IReadOnlyList<string> AllRoles => [.. _modules.Select(m => m.Name), RoleRoutes.App];

    IReadOnlyList<string> AwayRoles => [.. AllRoles.Where(r => !_server.Runs(r) && (r != RoleRoutes.App || _dataSources.Count > 0))];

    bool IsForwarding => _server.Runs("gateway") && AwayRoles.Count > 0;

    void RefuseUnknownRoles()
    {
        if (_server.Roles?.FirstOrDefault(r => !AllRoles.Contains(r, StringComparer.OrdinalIgnoreCase)) is { } unknown)
            throw new ConfigurationException($"There is no role {unknown}. Roles: {string.Join(", ", AllRoles.Order())}.");
    }

    /// <summary>One server per data directory: two would each keep limits, caches and open sockets that the other does not know of.</summary>
    internal FileStream TakeServeLock()
    {
        var path = new DataDirectory(_server.Data).Combine("serve.lock");
        try
        {
            var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            file.SetLength(0);
            file.Write(System.Text.Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture)));
            file.Flush();
            return file;
        }
        catch (IOException e)
        {
            throw new ConfigurationException($"Another server runs on the data directory {_server.Data}; stop it or choose another with --data DIR. ({e.Message})");
        }
    }

    /// <summary>Endpoints may be mapped before the container exists; what mapping asks for is known already.</summary>
    sealed class LateServices : IServiceProvider
    {
        public IServiceProvider? Services { get; set; }

        public object? GetService(Type serviceType) => Services is { } services
            ? services.GetService(serviceType)
            : serviceType == typeof(IOptions<RouteHandlerOptions>)
                ? Options.Create(new RouteHandlerOptions { ThrowOnBadRequest = true })
                : null;
    }
}

/// <summary>The framework's own authorisation (<c>[Authorize(Policy = …)]</c>) refuses with our problems.</summary>
sealed class ForbiddenProblem : IAuthorizationMiddlewareResultHandler
{
    public Task HandleAsync(RequestDelegate next, HttpContext context, AuthorizationPolicy policy, Microsoft.AspNetCore.Authorization.Policy.PolicyAuthorizationResult authorizeResult) =>
        authorizeResult.Succeeded
            ? next(context)
            : Problem.Of(authorizeResult.Challenged ? HttpProblems.Unauthorized : HttpProblems.Forbidden).ExecuteAsync(context);
}
