using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Http;

namespace Tandem.Core.Configuration;

/// <summary>Reads sections of the configuration into options classes and remembers which keys there are.</summary>
sealed class Settings(ConfigurationSources sources)
{
    readonly List<(string Section, object Value)> _sections = [];

    public ConfigurationSources Sources => sources;

    /// <summary>Section names with the options in force, in the order they were read.</summary>
    public IReadOnlyList<(string Section, object Value)> Sections => _sections;

    public T Read<T>(IServiceCollection services, string section) where T : class, new()
    {
        var value = new T();
        try
        {
            sources.All.GetSection(section).Bind(value);
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException($"{section}: {e.Message} {e.InnerException?.Message}".TrimEnd());
        }

        Validate(section, value);
        _sections.Add((section, value));
        services.AddSingleton(value);
        return value;
    }

    static void Validate(string section, object value)
    {
        foreach (var property in value.GetType().GetProperties())
            foreach (var message in JsonFaults.Broken(property.GetValue(value), property.GetCustomAttributes(true).OfType<ValidationAttribute>(), property.Name, value))
                throw new ConfigurationException($"{section}:{property.Name} {message}; it is \"{property.GetValue(value)}\".");
    }

    /// <summary>Stops the program when a section of ours has a key that nothing reads: it is a misspelt one.</summary>
    public void RefuseUnknownKeys(IEnumerable<string> otherSections)
    {
        var known = _sections.ToLookup(s => s.Section, s => s.Value.GetType(), StringComparer.OrdinalIgnoreCase);
        var others = otherSections.ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var section in sources.All.GetChildren().Where(s => known.Contains(s.Key)))
            foreach (var key in section.GetChildren())
                RefuseUnknown(key, known[section.Key]);
        foreach (var section in sources.Ours.GetChildren())
            if (!known.Contains(section.Key) && !others.Contains(section.Key))
                throw new ConfigurationException($"There is no setting {section.Path}. Sections: {string.Join(", ", known.Select(s => s.Key).Concat(others).Order())}.");
    }

    static void RefuseUnknown(IConfigurationSection key, IEnumerable<Type> types)
    {
        var properties = types.SelectMany(t => t.GetProperties()).Select(p => p.Name).ToArray();
        if (!properties.Contains(key.Key, StringComparer.OrdinalIgnoreCase))
            throw new ConfigurationException($"There is no setting {key.Path}. In this section: {string.Join(", ", properties)}.");
    }
}

/// <summary>The configuration cannot be used; the message names the key and says what is allowed.</summary>
public sealed class ConfigurationException(string message) : Exception(message);
