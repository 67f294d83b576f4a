using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Tokens;

namespace Tandem.Users;

/// <summary>Accounts, sign-in and tokens.</summary>
public sealed class UsersModule : Module
{
    /// <inheritdoc/>
    public override string Name => "users";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        module.Options<UsersOptions>();
        module.Services.AddSingleton<UserTable>();
        module.Services.AddSingleton<Passwords>();
        module.Services.AddSingleton<SignInLimits>();
        module.Services.AddSingleton<Keys>();
        module.Services.AddSingleton<Sessions>();
        module.Services.AddSingleton<Revocations>();
        module.Services.AddSingleton<ITokenVerifier, TokenVerifier>();
        module.Services.AddSingleton<TokenGrants>();
        module.Services.AddSingleton<TokenServer>();
        module.Services.AddHostedService<RevocationWatch>();
    }

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapUsers();
        routes.MapTokens();
    }
}
