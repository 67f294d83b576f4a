using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Micro;

/// <summary>The whole program on a data directory of its own, with an account, and with a door behind its socket.</summary>
sealed class Backend : IAsyncDisposable
{
    static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);

    readonly string _data = Directory.CreateTempSubdirectory("tandem-micro-").FullName;
    readonly Door _door = new();
    readonly TandemApp _app;

    Backend()
    {
        _app = TandemApp.Create(["--urls", "http://127.0.0.1:0", "--data", _data, "--Log:Level", "Warning"]);
        _app.Resource<Item>("/items");
        _app.Services.AddSingleton<IStartupFilter>(_door);
    }

    public static async Task<Backend> StartAsync()
    {
        var backend = new Backend();
        await backend._app.StartAsync();
        var clock = backend.Get<TimeProvider>();
        var account = await backend.Get<UserTable>().AddAsync(new NewUser("ada@example.com", "Ada", "correct-horse"), "no hash", Role.Person, clock.UtcNow(), Origin.Operator, null, default)
            ?? throw new InvalidOperationException("The account is there already.");
        backend.AccountId = account.Id;
        return backend;
    }

    public long AccountId { get; private set; }

    public T Get<T>() where T : notnull => _app.RunningServices.GetRequiredService<T>();

    /// <summary>What a request meets behind Kestrel.</summary>
    public RequestDelegate Pipeline => _door.Pipeline ?? throw new InvalidOperationException("The pipeline was not built.");

    public async Task<Session> SignInAsync() =>
        await Get<Sessions>().OpenAsync(AccountId, null, Lifetime, Origin.Operator, Get<TimeProvider>().UtcNow(), default) ?? throw new InvalidOperationException("The account is not active.");

    public Task<string> TokenAsync(Session session) => Get<AccessTokens>().MakeAsync(session, Get<TimeProvider>().UtcNow(), Lifetime, default);

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    sealed class Door : IStartupFilter
    {
        public RequestDelegate? Pipeline { get; private set; }

        public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
        {
            app.Use(rest => Pipeline = rest);
            next(app);
        };
    }
}

sealed record Item(string Name, decimal Price);
