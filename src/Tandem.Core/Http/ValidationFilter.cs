using System.ComponentModel.DataAnnotations;
using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;

namespace Tandem.Core.Http;

/// <summary>Checks a handler's arguments against their annotations before it runs: query values by the parameter's, bodies by the record's.</summary>
/// <remarks>
/// The framework's own validation skips internal types silently and names C# members; this one is put on every endpoint by the host.
/// The annotations are the framework's (System.ComponentModel.DataAnnotations).
/// </remarks>
static class ValidationFilter
{
    public static EndpointFilterDelegate Create(EndpointFilterFactoryContext context, EndpointFilterDelegate next)
    {
        var checks = context.MethodInfo.GetParameters().Select(Check.Of).OfType<Check>().ToArray();
        return checks.Length == 0 ? next : invocation =>
        {
            // A value that could not be read stands here as nothing; what it was is said elsewhere.
            if (invocation.HttpContext.Response.StatusCode == StatusCodes.Status400BadRequest)
                return next(invocation);
            Dictionary<string, string[]>? errors = null;
            foreach (var check in checks)
                foreach (var (field, messages) in check.Find(invocation.Arguments[check.Index]))
                    (errors ??= [])[field] = messages;
            return errors is null ? next(invocation) : ValueTask.FromResult<object?>(Problem.Invalid(errors));
        };
    }

    sealed record Check(int Index, string Name, ValidationAttribute[] Rules, bool IsBody)
    {
        static readonly Dictionary<string, string[]> None = [];

        public static Check? Of(ParameterInfo parameter)
        {
            var rules = parameter.GetCustomAttributes<ValidationAttribute>(true).ToArray();
            var type = parameter.ParameterType;
            // A record or class that is not a service or an interface may be a body; FindInvalid looks at what its properties ask for.
            var isBody = type is { IsClass: true, IsAbstract: false } && type != typeof(string)
                && parameter.GetCustomAttributes().All(a => a is not IFromServiceMetadata)
                && type.GetProperties().Any(p => p.GetCustomAttributes<ValidationAttribute>(true).Any() || HasRules(type, p.Name) || p.PropertyType == typeof(string))
                && type.GetMethod("<Clone>$") is not null;
            return rules.Length == 0 && !isBody ? null : new Check(parameter.Position, Data.Rows.Snake(parameter.Name!), rules, isBody);
        }

        public IReadOnlyDictionary<string, string[]> Find(object? value)
        {
            if (IsBody)
                return value is null ? None : JsonFaults.FindInvalid(value);
            var broken = JsonFaults.Broken(value, Rules, Name, new object()).ToArray();
            return broken.Length == 0 ? None : new Dictionary<string, string[]> { [Name] = broken };
        }

        static bool HasRules(Type type, string property) => type.GetConstructors().SelectMany(c => c.GetParameters())
            .Any(p => p.Name == property && p.GetCustomAttributes<ValidationAttribute>(true).Any());
    }
}
