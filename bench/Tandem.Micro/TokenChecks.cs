using BenchmarkDotNet.Attributes;
using Tandem.Core.Http;
using Tandem.Users.Tokens;

namespace Tandem.Micro;

/// <summary>What a bearer token costs a request. Every one of them looks at the expiry and at the sessions that have ended.</summary>
public class TokenChecks
{
    // More than are remembered: the next one was always forgotten again.
    const int Many = 10_000;

    readonly string[] _tokens = new string[Many];
    Backend? _backend;
    ITokenVerifier? _verifier;
    string _seen = "";
    string _revoked = "";
    int _next;

    [GlobalSetup]
    public async Task SetUp()
    {
        _backend = await Backend.StartAsync();
        _verifier = _backend.Get<ITokenVerifier>();
        var (session, ended) = (await _backend.SignInAsync(), await _backend.SignInAsync());
        _seen = await _backend.TokenAsync(session);
        _revoked = await _backend.TokenAsync(ended);
        Expect(Seen() & Valid(_revoked), true);
        _backend.Get<Revocations>().Add([new EndedSession(ended.Id, DateTime.UtcNow.AddHours(1))]);
        Expect(Revoked(), false);
    }

    [GlobalSetup(Target = nameof(FirstTime))]
    public async Task SetUpMany()
    {
        await SetUp();
        var session = await _backend!.SignInAsync(); // made by SetUp
        for (var i = 0; i < Many; i++)
            _tokens[i] = await _backend.TokenAsync(session);
        Expect(FirstTime(), true);
    }

    [GlobalCleanup]
    public async Task CleanUp() => await _backend!.DisposeAsync(); // made by SetUp

    [Benchmark(Description = "a token seen before")]
    public bool Seen() => Valid(_seen);

    [Benchmark(Description = "a token of a session that has ended")]
    public bool Revoked() => Valid(_revoked);

    [Benchmark(Description = "a token seen for the first time (ES256)")]
    public bool FirstTime() => Valid(_tokens[_next = (_next + 1) % Many]);

    bool Valid(string token) => _verifier!.TryVerify(token, out _); // made by SetUp

    static void Expect(bool answer, bool expected)
    {
        if (answer != expected)
            throw new InvalidOperationException("The token was not judged as it should be.");
    }
}
