namespace Tandem.Tests.Users;

/// <summary>One program for the tests of a class that do not mind each other's accounts.</summary>
public sealed class UsersFixture : IAsyncLifetime
{
    TestApp? _app;

    public TestApp App => _app ?? throw new InvalidOperationException("The program has not been started yet.");

    public async ValueTask InitializeAsync() => _app = await TestApp.StartAsync();

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
    }
}
