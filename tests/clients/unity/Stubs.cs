// As much of Unity's names as the package uses, so that a compiler without Unity reads it. Nothing here does anything.
using System;

namespace UnityEngine
{
    public class Object
    {
    }

    public class Component : Object
    {
        public Transform transform;
    }

    public class MonoBehaviour : Component
    {
    }

    public class Transform : Component
    {
        public Vector3 position;
    }

    public class AudioSource : Component
    {
    }

    public struct Vector3
    {
        public static Vector3 up;

        public static Vector3 operator +(Vector3 one, Vector3 other)
        {
            return one;
        }

        public static Vector3 operator *(float factor, Vector3 one)
        {
            return one;
        }
    }

    public static class AudioSettings
    {
        public delegate void AudioConfigurationChangeHandler(bool deviceWasChanged);

        public static event AudioConfigurationChangeHandler OnAudioConfigurationChanged
        {
            add { }
            remove { }
        }

        public static int outputSampleRate;
        public static double dspTime;

        public static void GetDSPBufferSize(out int bufferLength, out int numBuffers)
        {
            bufferLength = 1024;
            numBuffers = 4;
        }
    }

    public static class Debug
    {
        public static void Log(object message)
        {
        }

        public static void LogWarning(object message, Object context)
        {
        }

        public static void LogError(object message, Object context)
        {
        }
    }

    public static class Mathf
    {
        public static float MoveTowards(float current, float target, float maxDelta)
        {
            return target;
        }

        public static float PingPong(float t, float length)
        {
            return t;
        }
    }

    public static class Time
    {
        public static float deltaTime;
        public static float time;
    }

    public enum KeyCode
    {
        Alpha1,
        Alpha2,
        Alpha3
    }

    public static class Input
    {
        public static bool GetKeyDown(KeyCode key)
        {
            return false;
        }
    }

    public sealed class SerializeField : Attribute
    {
    }

    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string tooltip)
        {
        }
    }

    public sealed class RangeAttribute : Attribute
    {
        public RangeAttribute(float min, float max)
        {
        }
    }

    public sealed class TextAreaAttribute : Attribute
    {
        public TextAreaAttribute(int minLines, int maxLines)
        {
        }
    }

    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type required)
        {
        }
    }

    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string name)
        {
        }
    }
}
