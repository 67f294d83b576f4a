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
        foreach (var key in sources.All.GetSection(section).GetChildren())
            RefuseUnknown(key, typeof(T));
        var value = new T();
        try
        {
            // Without this an entry of a dictionary with a value that cannot be read is left out, and nobody hears of it.
            sources.All.GetSection(section).Bind(value, o => o.ErrorOnUnknownConfiguration = true);
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

    /// <summary>The settings in force of a class that was read.</summary>
    public T Get<T>() where T : class => _sections.Select(s => s.Value).OfType<T>().First();

    static void Validate(string path, object value)
    {
        foreach (var property in value.GetType().GetProperties())
        {
            var (key, held) = ($"{path}:{property.Name}", property.GetValue(value));
            foreach (var message in JsonFaults.Broken(held, property.GetCustomAttributes(true).OfType<ValidationAttribute>(), property.Name, value))
                throw new ConfigurationException($"{key} {message}; it is \"{held}\".");
            if (held is System.Collections.IDictionary entries)
                foreach (System.Collections.DictionaryEntry entry in entries)
                    if (entry.Value is { } item && IsSettings(item.GetType()))
                        Validate($"{key}:{entry.Key}", item);
            if (held is not null && IsSettings(held.GetType()))
                Validate(key, held);
        }
    }

    /// <summary>Stops the program when there is a section that nothing reads: it is a misspelt one. (Misspelt keys are found by <see cref="Read"/>.)</summary>
    public void RefuseUnknownSections(IEnumerable<string> otherSections)
    {
        var known = _sections.Select(s => s.Section).ToHashSet(StringComparer.OrdinalIgnoreCase);
        var others = otherSections.ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var section in sources.Ours.GetChildren())
            if (!known.Contains(section.Key) && !others.Contains(section.Key))
                throw new ConfigurationException($"There is no setting {section.Path}. Sections: {string.Join(", ", known.Concat(others).Order())}.");
    }

    static void RefuseUnknown(IConfigurationSection key, Type type)
    {
        var properties = type.GetProperties();
        var property = Array.Find(properties, p => p.Name.Equals(key.Key, StringComparison.OrdinalIgnoreCase))
            ?? throw new ConfigurationException($"There is no setting {key.Path}. In this section: {string.Join(", ", properties.Select(p => p.Name))}.");
        if (IsSettings(property.PropertyType))
            foreach (var nested in key.GetChildren())
                RefuseUnknown(nested, property.PropertyType);
        else if (property.PropertyType is { IsGenericType: true, GenericTypeArguments: [var name, var value] } && name == typeof(string) && IsSettings(value))
            foreach (var nested in key.GetChildren().SelectMany(e => e.GetChildren()))
                RefuseUnknown(nested, value);
    }

    /// <summary>A class of settings within settings.</summary>
    internal static bool IsSettings(Type type) => type is { IsClass: true, IsGenericType: false, IsArray: false } && type != typeof(string) && type.GetConstructor([]) is not null;
}

/// <summary>The configuration cannot be used; the message names the key and says what is allowed.</summary>
public sealed class ConfigurationException(string message) : Exception(message);
