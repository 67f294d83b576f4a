using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Configuration;

namespace Tandem;

/// <summary>Logs, metrics and traces.</summary>
static class Monitoring
{
    public static void Add(WebApplicationBuilder builder, Parts parts)
    {
        var log = parts.Settings.Read<LogOptions>(builder.Services, "Log");
        builder.Logging.SetMinimumLevel(log.Level)
            .AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("System", LogLevel.Warning)
            .AddFilter("OpenIddict", LogLevel.Warning)
            .AddFilter("Yarp", LogLevel.Warning);
        builder.Services.AddSingleton<ILoggerProvider, LineLoggerProvider>();
    }

    public static void Map(IEndpointRouteBuilder routes)
    {
    }
}

/// <summary>Settings of the log, section <c>Log</c>.</summary>
public sealed class LogOptions
{
    /// <summary>The least important line that is written: Trace, Debug, Information, Warning, Error. Default Information, which has a line per request.</summary>
    public LogLevel Level { get; set; } = LogLevel.Information;

    /// <summary>Text or Json. Default: Text on a terminal, Json otherwise.</summary>
    [AllowedValues(null, "Text", "Json")]
    public string? Format { get; set; }
}
