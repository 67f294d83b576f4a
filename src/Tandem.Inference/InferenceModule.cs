using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Inference.Models;

namespace Tandem.Inference;

/// <summary>Models: trained from a CSV file on the command line, asked over HTTP.</summary>
public sealed class InferenceModule : Module
{
    InferenceOptions _options = new();

    /// <inheritdoc/>
    public override string Name => "inference";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        _options = module.Options<InferenceOptions>();
        module.Services.AddSingleton<ModelTable>();
        module.Services.AddSingleton<ModelFiles>();
        module.Services.AddSingleton<ServedModels>();
        if (module.IsServed)
            module.Services.AddHostedService<ModelWatch>();
        module.Command(ModelCommands.Make);
    }

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes) => routes.MapModels(_options);
}
