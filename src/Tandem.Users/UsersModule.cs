using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;

namespace Tandem.Users;

/// <summary>The users module.</summary>
public sealed class UsersModule : Module
{
    /// <inheritdoc/>
    public override string Name => "users";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module) => module.Services.AddSingleton<Tandem.Core.Http.ITokenVerifier, NoTokens>();
}
