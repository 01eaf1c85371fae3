using Newtonsoft.Json.Linq;
using Undersong;
using UnityEngine;

/// <summary>Put it on a cube and give it the music: it jumps on the beat; 1, 2 and 3 are three states.</summary>
public sealed class DanceOnBeat : MonoBehaviour
{
    [SerializeField] private UndersongMusic music;

    private Vector3 _ground;
    private float _height;

    private void Start()
    {
        _ground = transform.position;
        music.Beat += OnBeat;
        music.StateEntered += told => Debug.Log("the music is " + told["name"]);
    }

    private void OnDestroy()
    {
        music.Beat -= OnBeat;
    }

    private void OnBeat(JObject beat)
    {
        _height = (int)beat["beat"] == 1 ? 1f : 0.4f;
    }

    private void Update()
    {
        if (Input.GetKeyDown(KeyCode.Alpha1)) music.State("explore");
        if (Input.GetKeyDown(KeyCode.Alpha2)) music.State("combat");
        if (Input.GetKeyDown(KeyCode.Alpha3)) music.State("victory");
        _height = Mathf.MoveTowards(_height, 0f, 2f * Time.deltaTime);
        transform.position = _ground + _height * Vector3.up;
        music.Parameter("danger", Mathf.PingPong(0.1f * Time.time, 1f));
    }
}
