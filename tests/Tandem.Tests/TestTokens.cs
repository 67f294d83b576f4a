using System.Diagnostics.CodeAnalysis;
using System.Net.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;

namespace Tandem.Tests;

/// <summary>Tokens for tests that are not about accounts: <c>ada</c> is anybody, <c>root</c> an administrator, <c>ada items:write</c> has that scope.</summary>
sealed class TestTokens : Module, ITokenVerifier
{
    public override string Name => "test-tokens";

    public override void Add(ModuleBuilder module) => module.Services.AddSingleton<ITokenVerifier>(this);

    public bool TryVerify(string token, [NotNullWhen(true)] out Caller? caller)
    {
        var words = token.Split(' ');
        caller = words[0] is "ada" or "root" ? new Caller(words[0] == "root" ? 1 : 2, Guid.NewGuid(), words[0] == "root", words[1..]) : null;
        return caller is not null;
    }

    public static AuthenticationHeaderValue Of(string token) => new("Bearer", token);
}
