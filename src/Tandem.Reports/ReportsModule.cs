using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Contracts;

namespace Tandem.Reports;

/// <summary>Reports over what the other modules tell of themselves.</summary>
public sealed class ReportsModule : Module
{
    internal const string SignUpsConsumer = "reports.signups";

    /// <inheritdoc/>
    public override string Name => "reports";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        module.Services.AddSingleton<SignUpTable>();
        module.Consume<UserRegistered, CountSignUp>(SignUpsConsumer);
        module.Job<RebuildSignUps, RebuildSignUpsHandler>();
    }

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes) => routes.MapReports();
}
