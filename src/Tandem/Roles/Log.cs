using Microsoft.Extensions.Logging;

namespace Tandem.Roles;

/// <summary>Every log line of the roles: 1110–1129.</summary>
static partial class Log
{
    [LoggerMessage(1110, LogLevel.Information, "Draining for {Time} before the stop: gateways are told to go elsewhere")]
    public static partial void Draining(this ILogger logger, TimeSpan time);

    [LoggerMessage(1111, LogLevel.Warning, "The clock of a gateway is {Apart} away from this one: what it says of its clients is not believed until both are set, best by NTP")]
    public static partial void ClocksApart(this ILogger logger, TimeSpan apart);

    [LoggerMessage(EventId = 1112, Message = "Role {Role}: {Address} is {Fitness}")]
    public static partial void DestinationChanged(this ILogger logger, LogLevel level, string role, string address, Fitness fitness);

    [LoggerMessage(1113, LogLevel.Warning, "Role {Role}: the name {Host} of {Setting} cannot be resolved ({Reason}); asked again every few seconds")]
    public static partial void NameUnknown(this ILogger logger, string role, string host, string setting, string reason);

    [LoggerMessage(1114, LogLevel.Warning, "Role {Role}: {Address} failed a request ({Reason})")]
    public static partial void ForwardFailed(this ILogger logger, string role, string address, string reason);
}
