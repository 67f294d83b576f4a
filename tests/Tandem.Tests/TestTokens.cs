using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Http;

namespace Tandem.Tests;

/// <summary>Tokens of the tests' own, for what is tested without accounts: "admin", or "person-7" for account 7, with scopes behind it: "person-7 items:write".</summary>
sealed class TestTokens : ITokenVerifier
{
    public HashSet<string> Revoked { get; } = [];

    public bool TryVerify(ReadOnlySpan<char> token, [NotNullWhen(true)] out Caller? caller)
    {
        var text = token.ToString();
        caller = Revoked.Contains(text) ? null
            : text == "admin" ? new Caller(1, Guid.Empty, true, [])
            : text.StartsWith("person-", StringComparison.Ordinal) && text.Split(' ') is var words
                ? new Caller(long.Parse(words[0]["person-".Length..]), Guid.Empty, false, words[1..])
            : null;
        return caller is not null;
    }

    public ValueTask<Caller?> FindAsync(string token, HttpContext context) => ValueTask.FromResult<Caller?>(null);

    public bool IsHonoured(Caller caller) => !Revoked.Contains($"person-{caller.AccountId}");

    /// <summary>Has the app take these tokens; with it, administrators' endpoints can be called.</summary>
    public static TestTokens Use(TandemApp app)
    {
        var tokens = new TestTokens();
        app.Add(new Late(tokens));
        return tokens;
    }

    // Added as a module so that it is registered behind the users module and wins.
    sealed class Late(TestTokens tokens) : Tandem.Core.Module
    {
        public override string Name => "testtokens";

        public override void Add(Tandem.Core.ModuleBuilder module) => module.Services.AddSingleton<ITokenVerifier>(tokens);
    }
}
